// A real etcd as the contract's tests want it: empty, and behind a proxy that can be cut.
import { connectEtcd } from '../client.ts';
import type { Etcd } from '../types.ts';
import type { CuttableProxy } from './cuttable-proxy.ts';
import type { EtcdProcess } from './etcd-process.ts';
import type { World } from './world.ts';

/** The servers under a test. They are started once and serve all tests of a file. */
export type Servers = {
  readonly server: EtcdProcess;
  /** The proxy between the client that is tested and whatever leads to the server. */
  readonly way: CuttableProxy;
  /** Restarts what stands between `way` and the server once the server is empty: a grpc-proxy remembers the etcd that was there before. */
  readonly restartBetween?: () => Promise<void>;
};

/** Empties the server, and connects a client to it that can be cut off, and another that cannot. */
export async function openRealWorld({ server, way, restartBetween }: Servers, connect: (endpoint: string) => Etcd): Promise<World> {
  async function replace(): Promise<void> {
    await server.kill();
    server.forget();
    await server.restart();
  }
  await replace();
  await restartBetween?.();
  const etcd = connect(`http://127.0.0.1:${way.port}`);
  const other = connectEtcd({ endpoints: [server.endpoint] });
  await other.status();
  return {
    etcd,
    other,
    cut: () => way.cut(),
    join: () => way.restore(),
    replace,
    passSeconds: async () => {},
    async close() {
      etcd.close();
      other.close();
      await way.restore();
    },
  };
}
