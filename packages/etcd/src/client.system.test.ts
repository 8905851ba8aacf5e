import { afterAll, beforeAll } from 'vitest';
import { connectEtcd } from './client.ts';
import { etcdContract } from './testing/contract.ts';
import { type CuttableProxy, cuttableProxy } from './testing/cuttable-proxy.ts';
import { type EtcdProcess, startEtcd } from './testing/etcd-process.ts';

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

etcdContract('a real etcd', async () => {
  await server.kill();
  server.forget();
  await server.restart();
  const etcd = connectEtcd({ endpoints: [`http://127.0.0.1:${proxy.port}`], timeoutSeconds: 2 });
  const other = connectEtcd({ endpoints: [server.endpoint] });
  await other.status();
  return {
    etcd,
    other,
    cut: () => proxy.cut(),
    join: () => proxy.restore(),
    async replace() {
      await server.kill();
      server.forget();
      await server.restart();
    },
    pass: async () => {},
    async close() {
      etcd.close();
      other.close();
      await proxy.restore();
    },
  };
});
