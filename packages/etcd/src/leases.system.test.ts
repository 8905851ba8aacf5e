import { type Clock, systemClock } from '@calico-openstack/agent/clock';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { connectEtcd } from './client.ts';
import { type Election, elect } from './elect.ts';
import { writeUnderLease } from './leased-writer.ts';
import { type CuttableProxy, cuttableProxy } from './testing/cuttable-proxy.ts';
import { type EtcdProcess, startEtcd } from './testing/etcd-process.ts';
import { recorder } from './testing/recorder.ts';
import type { Etcd } from './types.ts';

let server: EtcdProcess;
let proxy: CuttableProxy;
let near: Etcd;
let far: Etcd;
let heard: string[];
let onHeard: () => void;

beforeEach(async () => {
  server = await startEtcd();
  proxy = await cuttableProxy(server.clientPort);
  near = connectEtcd({ endpoints: [server.endpoint], timeoutMs: 10_000 });
  far = connectEtcd({ endpoints: [`http://127.0.0.1:${proxy.port}`], timeoutMs: 1_000 });
  heard = [];
  onHeard = () => {};
});
afterEach(async () => {
  near.close();
  far.close();
  await proxy.close();
  await server.stop();
});

function hear(what: string): void {
  heard.push(what);
  onHeard();
}
async function until(...anyOf: readonly string[]): Promise<void> {
  while (!anyOf.some((what) => heard.includes(what))) {
    await new Promise<void>((resolve) => {
      onHeard = resolve;
    });
  }
}
const candidate = (name: string, etcd: Etcd, ttlSeconds = 3, clock: Clock = systemClock): Election =>
  elect(etcd, {
    keys: ['/v2/election', '/v1/election'],
    value: name,
    ttlSeconds,
    refreshMs: 500,
    clock,
    onElected: () => hear(`${name} leads`),
    onLost: () => hear(`${name} lost`),
    onWaiting: (leader) => hear(`${name} waits for ${leader}`),
  });

test('a leader in a black hole stops leading before another leads; when the other resigns, the first leads again', async () => {
  const first = candidate('far', far);
  await until('far leads');
  const second = candidate('near', near);
  await until('near waits for far');
  proxy.freeze();
  await until('near leads');
  expect(heard.indexOf('far lost')).toBeGreaterThan(0);
  expect(heard.indexOf('far lost')).toBeLessThan(heard.indexOf('near leads'));
  await proxy.restore();
  await until('far waits for near');
  heard = [];
  await second.close();
  await until('far leads');
  await first.close();
  expect((await near.range('')).found).toEqual([]);
});

test('a leader outlives a restart of etcd', async () => {
  const first = candidate('far', far, 6); // longer than etcd takes to come back on a busy machine
  await until('far leads');
  const { found } = await near.get('/v2/election');
  await server.kill();
  await server.restart();
  const lease = await near.grantLease(8);
  const told = recorder();
  near.follow(['/clock'], told);
  await near.transact([], [{ put: '/clock', value: '', lease: lease.id }]);
  await told.until(({ held }) => held.has('/clock'));
  await told.until(({ held }) => !held.has('/clock')); // longer than the leader's lease, had it not been renewed
  expect([first.leading, (await near.get('/v2/election')).found]).toEqual([true, found]);
  expect(heard).toEqual(['far leads']);
  await first.close();
});

/** A clock that runs 12 times as fast, so that a candidate's lease seems over to it long before etcd lets it run out. */
const hasty: Clock = {
  ...systemClock,
  steadyMs: () => systemClock.steadyMs() * 12,
  pause: (ms, signal) => systemClock.pause(ms / 12, signal),
  after: (ms, action) => systemClock.after(ms / 12, action),
};

test('after an outage of etcd that outlasts the lease somebody leads, although etcd has granted the former leader’s lease its whole time anew', async () => {
  const ttlSeconds = 60;
  const first = candidate('far', far, ttlSeconds, hasty);
  await until('far leads');
  const second = candidate('near', near, ttlSeconds, hasty);
  await until('near waits for far');
  const same = await near.grantLease(ttlSeconds);
  await near.transact([], [{ put: '/same', value: '', lease: same.id }]);
  await server.kill();
  await until('far lost');
  heard = [];
  await server.restart();
  await until('far leads', 'near leads');
  expect((await near.get('/same')).found).toBeDefined(); // a lease of the same time stands, as the former leader's would
  await Promise.all([first.close(), second.close()]);
});

test('leased keys stay while they are written, come back after a restart of etcd, and go with their writer', async () => {
  const told = recorder();
  near.follow(['/status'], told);
  let beats = 0;
  const writer = writeUnderLease(far, { ttlSeconds: 5, intervalMs: 200, operations: (lease) => [{ put: '/status', value: String(beats++), lease }] });
  await told.until(({ lines }) => lines.length > 12);
  expect(told.lines.every((line) => line.startsWith('/status='))).toBe(true);
  await server.kill();
  await server.restart();
  const before = told.lines.length;
  await told.until(({ lines }) => lines.length > before + 3);
  await writer.close();
  await told.until(({ held }) => held.size === 0);
});
