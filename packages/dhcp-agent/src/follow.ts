// Follows this host's ports and the region's subnets in etcd, and brings them to the core.
import { type Logger, startNamesakeWarnings, takeEach, tellUnreadable } from '@calico-openstack/agent';
import { findNamesakes, hostEndpointsPrefix, subnetPrefix, workloadEndpointNamePrefix } from '@calico-openstack/datamodel';
import type { Etcd } from '@calico-openstack/etcd';
import type { Core } from './core.ts';
import { hostOption } from './in-datastore.ts';

/** The host whose ports are followed, and the core that takes them in. */
export type FollowOptions = {
  readonly etcd: Etcd;
  readonly region: string | undefined;
  readonly host: string;
  readonly core: Pick<Core, 'etcdChanged' | 'inSync'>;
  /** Called when etcd has been read in full and is followed, and when it no longer answers. */
  readonly onSync?: (isInSync: boolean) => void;
  /** Called when the core has something to do. */
  readonly wake: () => void;
  readonly log: Logger;
};

/** Follows until closed. While etcd does not answer, that is logged and what is known is served. */
export function followPorts({ etcd, region, host, core, onSync, wake, log }: FollowOptions): { close(): void } {
  const endpoints = hostEndpointsPrefix(region, workloadEndpointNamePrefix(host));
  const subnets = subnetPrefix(region);
  let namesakes: { close(): void } | undefined;
  const follower = etcd.follow([endpoints, subnets], {
    onChanges(changes) {
      const kind = (key: string): 'subnet' | 'endpoint' => (key.startsWith(subnets) ? 'subnet' : 'endpoint');
      takeEach(
        changes,
        (change) => core.etcdChanged(kind(change.key), change),
        (error, key) =>
          log.error({ err: error, key }, 'a fault of the DHCP agent: it failed to process this value and treats it as absent; please report it with the value'),
      );
      wake();
    },
    onUnreadable: tellUnreadable(log),
    onInSync(revision) {
      core.inSync();
      log.info({ revision }, 'etcd was read: all ports of this host are known');
      const keysWith = async (prefix: string) => (await etcd.range(prefix, { keysOnly: true })).found.map(({ key }) => key);
      namesakes = startNamesakeWarnings({ host, option: hostOption, look: () => findNamesakes(region, host, keysWith), log });
      wake();
    },
    onState(state, reason) {
      onSync?.(state === 'following');
      if (state === 'lost') log.warn({ reason }, 'etcd does not answer, so changes of ports are not seen; the known ports are served; retrying');
      else log.debug({ state }, 'the state of the connection to etcd changed');
    },
  });
  return {
    close() {
      follower.close();
      namesakes?.close();
    },
  };
}
