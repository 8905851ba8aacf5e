import { afterAll, beforeAll } from 'vitest';
import { connectEtcd } from './client.ts';
import { systemClock } from './clock.ts';
import { etcdContract } from './testing/contract.ts';
import { type CuttableProxy, cuttableProxy } from './testing/cuttable-proxy.ts';
import { type EtcdProcess, startEtcd } from './testing/etcd-process.ts';
import { type GrpcProxy, startGrpcProxy } from './testing/grpc-proxy.ts';

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

etcdContract('an etcd behind its grpc-proxy', async () => {
  await server.kill();
  server.forget();
  await server.restart();
  await grpcProxy.restart();
  const etcd = connectEtcd({ endpoints: [`http://127.0.0.1:${way.port}`], timeoutSeconds: 2 }, systemClock, { checkMilliseconds: 1_000 });
  const other = connectEtcd({ endpoints: [server.endpoint] });
  await other.status();
  return {
    etcd,
    other,
    cut: () => way.cut(),
    join: () => way.restore(),
    async replace() {
      await server.kill();
      server.forget();
      await server.restart();
    },
    pass: async () => {},
    async close() {
      etcd.close();
      other.close();
      await way.restore();
    },
  };
});
