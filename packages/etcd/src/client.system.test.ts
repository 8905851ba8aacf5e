import { afterAll, beforeAll } from 'vitest';
import { connectEtcd } from './client.ts';
import { etcdContract } from './testing/contract.ts';
import { type CuttableProxy, cuttableProxy } from './testing/cuttable-proxy.ts';
import { type EtcdProcess, startEtcd } from './testing/etcd-process.ts';
import { openRealWorld } from './testing/real-world.ts';

let server: EtcdProcess;
let proxy: CuttableProxy;
beforeAll(async () => {
  server = await startEtcd();
  proxy = await cuttableProxy(server.clientPort);
});
afterAll(async () => {
  await proxy.close();
  await server.stop();
});

etcdContract('a real etcd', () => openRealWorld({ server, way: proxy }, (endpoint) => connectEtcd({ endpoints: [endpoint], timeoutMs: 2_000 })));
