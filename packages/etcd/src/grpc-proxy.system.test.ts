import { systemClock } from '@calico-openstack/agent/clock';
import { afterAll, beforeAll } from 'vitest';
import { connectEtcd } from './client.ts';
import { etcdContract } from './testing/contract.ts';
import { type CuttableProxy, cuttableProxy } from './testing/cuttable-proxy.ts';
import { type EtcdProcess, startEtcd } from './testing/etcd-process.ts';
import { type GrpcProxy, startGrpcProxy } from './testing/grpc-proxy.ts';
import { openRealWorld } from './testing/real-world.ts';

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
