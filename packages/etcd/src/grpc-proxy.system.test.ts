import { systemClock } from '@calico-openstack/agent/clock';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectEtcd } from './client.ts';
import { etcdContract } from './testing/contract.ts';
import { type CuttableProxy, cuttableProxy } from './testing/cuttable-proxy.ts';
import { type EtcdProcess, startEtcd } from './testing/etcd-process.ts';
import { type GrpcProxy, startGrpcProxy } from './testing/grpc-proxy.ts';
import { openRealWorld } from './testing/real-world.ts';
import { recorder } from './testing/recorder.ts';
import type { Etcd } from './types.ts';

let server: EtcdProcess;
let grpcProxy: GrpcProxy;
let way: CuttableProxy;
beforeAll(async () => {
  server = await startEtcd();
  grpcProxy = await startGrpcProxy([`127.0.0.1:${server.clientPort}`]);
  way = await cuttableProxy(grpcProxy.port);
});
afterAll(async () => {
  await way.close();
  await grpcProxy.stop();
  await server.stop();
});

etcdContract('an etcd behind its grpc-proxy', () =>
  openRealWorld({ server, way, restartBetween: () => grpcProxy.restart() }, (endpoint) =>
    connectEtcd({ endpoints: [endpoint], timeoutMs: 2_000 }, systemClock, { checkMs: 1_000 }),
  ),
);

describe('an etcd with users behind its grpc-proxy', () => {
  const [rootPassword, password] = ['correct horse', 'secret'];
  const refused = expect.objectContaining({ code: 'ETCD_DENIED' });
  let guarded: EtcdProcess;
  let proxy: GrpcProxy;
  beforeAll(async () => {
    guarded = await startEtcd({ rootPassword });
    await guarded.addUser('agent', password, [{ access: 'readwrite', prefix: '/mine/' }]);
    proxy = await startGrpcProxy([`127.0.0.1:${guarded.clientPort}`]);
  });
  afterAll(async () => {
    await proxy.stop();
    await guarded.stop();
  });
  const through = (user: { readonly username?: string; readonly password?: string }): Etcd =>
    connectEtcd({ endpoints: [proxy.endpoint], ...user, timeoutMs: 5_000 });

  test('lets a user write and read what its role says, and nobody else', async () => {
    const agent = through({ username: 'agent', password });
    expect(await agent.transact([], [{ put: '/mine/1', value: '1' }])).toMatchObject({ succeeded: true });
    expect((await agent.get('/mine/1')).found).toBeDefined();
    expect(await (await agent.grantLease(30)).keepAlive()).toBe(true);
    await expect(agent.range('/')).rejects.toEqual(refused);
    const stranger = through({});
    await expect(stranger.get('/mine/1')).rejects.toEqual(refused);
    for (const each of [agent, stranger]) each.close();
  });

  test('is not followed: its watches would be those of whoever came first, and silent after a restart of etcd', async () => {
    const agent = through({ username: 'agent', password });
    const told = recorder();
    agent.follow(['/mine/'], told);
    await told.until(({ states }) => states.includes('lost'));
    expect(told.reasons.at(-1)).toMatch(/^ETCD_REFUSED: cannot watch \/mine\/: .* is etcd's grpc-proxy/);
    agent.close();
  });
});
