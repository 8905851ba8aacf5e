import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connectEtcd } from './client.ts';
import { EtcdError } from './errors.ts';
import { cuttableProxy } from './testing/cuttable-proxy.ts';
import { type EtcdProcess, startEtcd, startEtcdCluster } from './testing/etcd-process.ts';
import { type Recorder, recorder } from './testing/recorder.ts';
import type { Etcd, Operation } from './types.ts';

const put = (key: string, value: string): Operation => ({ put: key, value });
const following = ({ states }: Recorder): boolean => states.at(-1) === 'following';
const lost = ({ states }: Recorder): boolean => states.at(-1) === 'lost';

/** Retries a write until etcd accepts it: while a new leader is elected, writes fail. */
async function persist(etcd: Etcd, operation: Operation): Promise<void> {
  for (;;) {
    try {
      await etcd.transact([], [operation]);
      return;
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
    }
  }
}

describe('one etcd', () => {
  let server: EtcdProcess;
  let etcd: Etcd;
  let told: Recorder;
  beforeEach(async () => {
    server = await startEtcd();
    etcd = connectEtcd({ endpoints: [server.endpoint], timeoutMs: 5_000 });
    told = recorder();
  });
  afterEach(async () => {
    etcd.close();
    await server.stop();
  });

  test('an etcd that is killed and restarted during a follow loses no change, and no key is ever reported as deleted', async () => {
    await etcd.transact(
      [],
      Array.from({ length: 100 }, (_, index) => put(`/a/${index}`, 'before')),
    );
    etcd.follow(['/a/'], told);
    await told.until(following);
    for (let round = 0; round < 3; round++) {
      const writing = Array.from({ length: 50 }, (_, index) => persist(etcd, put(`/a/${index}`, `${round}`)));
      await server.kill();
      await server.restart();
      await Promise.all(writing);
      await persist(etcd, put('/a/end', `${round}`));
      await told.until(({ held }) => held.get('/a/end') === `${round}`);
    }
    const { found } = await etcd.range('/a/');
    expect(Object.fromEntries(told.held)).toEqual(Object.fromEntries(found.map(({ key, value }) => [key, Buffer.from(value).toString()])));
    expect(told.lines.filter((line) => !line.includes('='))).toEqual([]);
    expect(told.inSyncs).toBe(1);
  });

  test('a deletion at the very revision up to which the history was compacted is not missed', async () => {
    const proxy = await cuttableProxy(server.clientPort);
    const cutOff = connectEtcd({ endpoints: [`http://127.0.0.1:${proxy.port}`] });
    await etcd.transact([], [put('/a/1', '1'), put('/a/2', '2')]);
    cutOff.follow(['/a/'], told);
    await told.until(following);
    await proxy.cut();
    await told.until(lost);
    const { revision } = await etcd.transact([], [{ delete: '/a/1' }]);
    await etcd.transact([], [put('/a/2', 'x')]);
    await server.etcdctl('compaction', '--physical', String(revision));
    await proxy.restore();
    await told.until(({ held }) => held.get('/a/2') === 'x');
    expect(told.held.has('/a/1')).toBe(false);
    cutOff.close();
    await proxy.close();
  });

  test.each([
    ['and is behind what was seen', 0],
    ['and has gone on past what was seen', 10],
  ])('started again from a backup, %s, it is followed to what the backup holds, in one step', async (_, writes) => {
    const proxy = await cuttableProxy(server.clientPort);
    const cutOff = connectEtcd({ endpoints: [`http://127.0.0.1:${proxy.port}`] });
    await etcd.transact([], [put('/a/kept', '1'), put('/a/changed', 'old')]);
    await server.kill();
    server.backUp();
    await server.restart();
    cutOff.follow(['/a/'], told);
    await told.until(following);
    await etcd.transact([], [put('/a/changed', 'new'), put('/a/new', '1')]);
    await told.until(({ held }) => held.has('/a/new'));
    const before = told.batches.length;
    await proxy.cut();
    await server.kill();
    server.goBack();
    await server.restart();
    for (let index = 0; index < writes; index++) await persist(etcd, put('/a/later', `${index}`));
    await proxy.restore();
    await told.until(({ held }) => held.get('/a/changed') === 'old');
    expect(Object.fromEntries(told.held)).toEqual({ '/a/kept': '1', '/a/changed': 'old', ...(writes > 0 ? { '/a/later': '9' } : {}) });
    expect(told.batches).toHaveLength(before + 1);
    cutOff.close();
    await proxy.close();
  });

  test('a value of a megabyte arrives whole; one that etcd does not accept is refused, not retried', async () => {
    const big = 'x'.repeat(1_000_000);
    etcd.follow(['/a/'], told);
    await told.until(following);
    await etcd.transact([], [put('/a/big', big)]);
    await told.until(({ held }) => held.get('/a/big') === big);
    const error: unknown = await etcd.transact([], [put('/a/bigger', 'x'.repeat(3_000_000))]).catch((each: unknown) => each);
    expect(error instanceof EtcdError && error.code).toMatch(/^ETCD_(REFUSED|OVERLOADED)$/);
    const second = recorder();
    etcd.follow(['/a/'], second);
    await second.until(({ held }) => held.get('/a/big') === big);
  });

  test('with twenty thousand keys and concurrent writers, the follower ends with what etcd holds', async () => {
    for (let first = 0; first < 20_000; first += 100) {
      await etcd.transact(
        [],
        Array.from({ length: 100 }, (_, index) => put(`/a/${first + index}`, 'x'.repeat(200))),
      );
    }
    etcd.follow(['/a/'], told);
    const writers = Array.from({ length: 8 }, async (_, writer) => {
      for (let index = 0; index < 250; index++) {
        const key = `/a/${(writer * 7919 + index * 61) % 20_000}`;
        await etcd.transact([], [index % 3 === 0 ? { delete: key } : put(key, `${writer}.${index}`), put(`/a/new/${writer}`, `${index}`)]);
      }
    });
    await Promise.all(writers);
    await etcd.transact([], [put('/a/end', '')]);
    await told.until(({ held }) => held.has('/a/end'));
    const { found } = await etcd.range('/a/');
    expect(found.length).toBeGreaterThan(19_000);
    expect(new Map(told.held)).toEqual(new Map(found.map(({ key, value }) => [key, Buffer.from(value).toString()])));
    const live = told.batches.flatMap(({ changes }) => changes.map(({ key, modRevision }) => `${key} ${modRevision}`));
    expect(new Set(live).size).toBe(live.length);
  });
});

describe('three etcds', () => {
  let servers: readonly EtcdProcess[];
  let etcd: Etcd;
  beforeEach(async () => {
    servers = await startEtcdCluster(3);
    etcd = connectEtcd({ endpoints: servers.map(({ endpoint }) => endpoint), timeoutMs: 10_000 });
  });
  afterEach(async () => {
    etcd.close();
    await Promise.all(servers.map((server) => server.stop()));
  });

  /** The member that says that it is the leader. The members are asked one after the other, and may elect another one meanwhile. */
  async function leader(): Promise<EtcdProcess> {
    for (;;) {
      for (const server of servers) {
        const [{ Status }] = JSON.parse(await server.etcdctl('endpoint', 'status', '-w', 'json'));
        if (Status.leader === Status.header.member_id) return server;
      }
    }
  }

  test('after the leader was killed, followers and readers continue with the other members and lose nothing; also after each has been killed once', async () => {
    const told = recorder();
    etcd.follow(['/a/'], told);
    await told.until(following);
    for (let round = 0; round < 3; round++) {
      await persist(etcd, put(`/a/${round}/before`, ''));
      const killed = await leader();
      await killed.kill();
      expect((await etcd.get(`/a/${round}/before`)).found).toBeDefined();
      await persist(etcd, put(`/a/${round}/after`, ''));
      await told.until(({ held }) => held.has(`/a/${round}/after`));
      await killed.restart();
    }
    expect([...told.held.keys()].sort()).toEqual([0, 1, 2].flatMap((round) => [`/a/${round}/after`, `/a/${round}/before`]));
    // As often as it was written: an attempt whose answer was lost may have been carried out before it was retried.
    const { found } = await etcd.range('/a/');
    expect(told.lines).toHaveLength(found.reduce((sum, { version }) => sum + version, 0));
    expect(told.inSyncs).toBe(1);
  });

  test('without a majority, reads and writes reject as unavailable and followers are lost; all recover with the majority', async () => {
    const told = recorder();
    etcd.follow(['/a/'], told);
    await told.until(following);
    await Promise.all([servers[0]!.kill(), servers[1]!.kill()]);
    await told.until(lost);
    const impatient = connectEtcd({ endpoints: servers.map(({ endpoint }) => endpoint), timeoutMs: 2_000 });
    for (const call of [() => impatient.get('/a/1'), () => impatient.transact([], [put('/a/1', '')])]) {
      const error: unknown = await call().catch((each: unknown) => each);
      expect(error instanceof EtcdError && error.code).toMatch(/^ETCD_(UNAVAILABLE|TIMEOUT)$/);
    }
    impatient.close();
    await Promise.all([servers[0]!.restart(), servers[1]!.restart()]);
    await persist(etcd, put('/a/end', ''));
    await told.until(({ held }) => held.has('/a/end'));
  });
});
