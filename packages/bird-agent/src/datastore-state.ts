// Brings the datastore's changes to the store, and tracks how far the datastore is known.
import { type Component, type Logger, tellUnreadable } from '@calico-openstack/agent';
import { resourceKey } from '@calico-openstack/datamodel';
import type { FollowListener } from '@calico-openstack/etcd';
import type { Metrics } from './metrics.ts';
import type { ResourceStore } from './store.ts';

/** The state of the connection to etcd. */
export interface DatastoreState {
  /** Whether the whole datastore has been read once. From then on the known values count, whether etcd answers or not. */
  readonly isInSync: boolean;
  /** Whether changes arrive as they are made, so that etcd answers and can be written. */
  readonly isFollowing: boolean;
  readonly listener: FollowListener;
}

/** The parts that take in changes. */
export type DatastoreStateOptions = {
  readonly ownName: string;
  readonly store: Pick<ResourceStore, 'apply'>;
  /** Called when this host's Node has changed. */
  readonly onOwnNode: () => void;
  /** Called when everything has been read. */
  readonly onInSync: () => void;
  /** Called when there is something to do. */
  readonly wake: () => void;
  readonly health: Component;
  readonly metrics: Pick<Metrics, 'inSync'>;
  readonly log: Logger;
};

/** Creates the state of a connection that has read nothing yet. */
export function datastoreState({ ownName, store, onOwnNode, onInSync, wake, health, metrics, log }: DatastoreStateOptions): DatastoreState {
  const ownKey = resourceKey({ plural: 'nodes', name: ownName });
  let isInSync = false;
  let isFollowing = false;
  return {
    get isInSync() {
      return isInSync;
    },
    get isFollowing() {
      return isFollowing;
    },
    listener: {
      onChanges(changes) {
        if (changes.some(({ key }) => key === ownKey)) onOwnNode();
        if (store.apply(changes)) wake();
      },
      onUnreadable: tellUnreadable(log),
      onInSync(revision) {
        isInSync = true;
        metrics.inSync(true);
        health.report({ live: true, ready: true });
        log.info({ revision }, 'the datastore was read: the configuration of BIRD follows it from now on');
        onInSync();
        wake();
      },
      onState(state, reason) {
        isFollowing = state === 'following';
        health.report({ live: true, ready: isInSync && isFollowing, ...(reason !== undefined && { detail: reason }) });
        if (state === 'lost')
          log.warn(
            { reason },
            'etcd is away: BIRD keeps the configuration that follows from the known values; retrying; see that etcd runs and can be reached',
          );
        if (isFollowing) {
          log.info('changes of the datastore are followed');
          wake(); // a write of the Node may be pending
        }
      },
    },
  };
}
