// Keeps the last valid values on disk, so that they outlive the agent, and finds earlier valid values in etcd's history.
import { resourceKey } from '@calico-openstack/datamodel';
import { type Etcd, EtcdError } from '@calico-openstack/etcd';
import { recallFormer } from './history.ts';
import type { Problem } from './plan/facts.ts';
import type { ResourceStore } from './store.ts';
import type { Understood, UnderstoodFile } from './understood.ts';

/** The memory of valid values. */
export interface ResourceMemory {
  /** Writes to disk what a restarted agent needs. Returns the problems with that. */
  remember(): Promise<readonly Problem[]>;
  /** Looks in etcd's history for earlier values of the indispensable resources that have never been valid here. It does so once for each value, and again only while etcd does not answer. */
  recall(): Promise<void>;
}

/** The parts that the memory needs. */
export type MemoryOptions = { readonly etcd: Etcd; readonly store: ResourceStore; readonly file: UnderstoodFile; readonly ownName: string };

/** The memory of this host's agent. */
export function resourceMemory({ etcd, store, file, ownName }: MemoryOptions): ResourceMemory {
  let toRemember: ReadonlyMap<string, Understood> | undefined;
  const recalled = new WeakSet<object>();
  return {
    async remember() {
      toRemember = store.toRemember() ?? toRemember;
      if (!toRemember) return [];
      try {
        await file.write(toRemember);
        toRemember = undefined;
        return [];
      } catch (error) {
        const effect = 'until it can be written, a restart of the agent forgets the last valid values';
        return [{ key: file.path, reason: (error as Error).message, effect }];
      }
    },
    async recall() {
      const { configurations, nodes } = store.resources;
      const bases = [
        [resourceKey({ plural: 'bgpconfigurations', name: 'default' }), configurations.get('default')],
        [resourceKey({ plural: 'bgpconfigurations', name: `node.${ownName}` }), configurations.get(`node.${ownName}`)],
        [resourceKey({ plural: 'nodes', name: ownName }), nodes.get(ownName)],
      ] as const;
      for (const [key, value] of bases) {
        if (!value || value.ok || recalled.has(value)) continue;
        try {
          await recallFormer(etcd, key, store.recall);
          recalled.add(value);
        } catch (error) {
          if (!(error instanceof EtcdError)) throw error;
        }
      }
    },
  };
}
