// A follower in a process of its own, for tests that run it in a namespace. Arguments: a prefix, then endpoints.
// It prints what is reported to it, one JSON object per line. A line on its standard input closes it.
import { once } from 'node:events';
import { connectEtcd } from '../client.ts';

const [prefix = '', ...endpoints] = process.argv.slice(2);
/** Prints in the order of the events, although some messages wait for a call first. */
let said = Promise.resolve();
const say = (what: Record<string, unknown>, more?: Promise<Record<string, unknown>>): void => {
  said = said.then(async () => void process.stdout.write(`${JSON.stringify({ ...what, ...(await more) })}\n`));
};
const etcd = connectEtcd({ endpoints, timeoutMs: 5_000 });
etcd.follow([prefix], {
  onChanges: (changes) => say({ changed: changes.map(({ key }) => key) }),
  onState: (state) => say({ state }, state === 'following' ? etcd.status().then(({ endpoint }) => ({ endpoint })) : undefined),
});
await once(process.stdin, 'data');
process.stdin.destroy();
etcd.close();
