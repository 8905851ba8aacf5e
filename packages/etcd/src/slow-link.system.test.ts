import { afterEach, beforeEach, expect, test } from 'vitest';
import { type EtcdProcess, startEtcd } from './testing/etcd-process.ts';
import { type ReaderNews, type SlowLink, slowLink } from './testing/slow-link.ts';

const [keys, valueBytes] = [1_500, 1_000];
/** One page alone takes longer than the time-out on a link of 3 Mb/s. */
const timeoutMs = 1_000;

let link: SlowLink;
let server: EtcdProcess;
let news: ReaderNews[];
let onNews: () => void;

beforeEach(async () => {
  link = slowLink(3);
  server = await startEtcd({ prefix: link.etcdSide, host: link.etcdAddress, clientPort: 2379 });
  await link.fill(server.endpoint, keys, valueBytes);
  news = [];
  onNews = () => {};
});
afterEach(async () => {
  link.close();
  await server.stop();
});

function read(readers: number): void {
  link.read(server.endpoint, readers, timeoutMs, (each) => {
    news.push(each);
    onNews();
  });
}
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) {
    await new Promise<void>((resolve) => {
      onNews = resolve;
    });
  }
}
const inSync = (): { keys: number; readKeys: number }[] => news.flatMap((each) => ('keys' in each ? [{ keys: each.keys, readKeys: each.readKeys }] : []));
const everythingOnce = { keys, readKeys: keys };
const reading = (): number => news.filter((each) => 'state' in each && each.state === 'reading').length;

test('a reader gets in sync although the whole snapshot takes many times the time-out, and reads nothing twice', async () => {
  read(1);
  await until(() => inSync().length === 1);
  expect(inSync()).toEqual([everythingOnce]);
  expect(news.filter((each) => 'state' in each && each.state === 'lost')).toEqual([]);
  expect(link.sentBytes()).toBeLessThan(1.25 * keys * valueBytes);
});

test('readers that share the link all get in sync although etcd is killed meanwhile, and continue where they were', async () => {
  read(4);
  await until(() => reading() === 4);
  await link.fill(server.endpoint, 1, valueBytes); // the history continues meanwhile
  for (let round = 0; round < 2; round += 1) {
    const sent = link.sentBytes();
    while (link.sentBytes() < sent + keys * valueBytes) await new Promise((resolve) => setTimeout(resolve, 100));
    await server.kill();
    await server.restart();
  }
  await until(() => inSync().length === 4);
  expect(inSync()).toEqual([everythingOnce, everythingOnce, everythingOnce, everythingOnce]);
});
