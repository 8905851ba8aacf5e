// Creates the parts that compare etcd with Neutron. The daemon uses them, and calico-resync when no daemon runs.
import type { Clock, Logger } from '@calico-openstack/agent';
import type { Etcd } from '@calico-openstack/etcd';
import { knownInfrastructure } from './addressing/known-infrastructure.ts';
import type { Options } from './option-table.ts';
import { createProjectNames } from './projects.ts';
import type { ResyncOptions } from './resync.ts';
import { createRightPorts } from './right-ports.ts';
import type { Background } from './sources.ts';
import { keysOf, type Settings } from './sync/plan.ts';
import { createSync, type Sync } from './sync/sync.ts';

/** The settings and connections of a comparison. */
export type ComparisonOptions = { readonly options: Options; readonly etcd: Etcd; readonly source: Background; readonly log: Logger; readonly clock: Clock };

/** The parts of a comparison. `resync` has the options for a resync. */
export type Comparison = {
  readonly settings: Settings;
  readonly infrastructure: ReturnType<typeof knownInfrastructure>;
  readonly sync: Sync;
  readonly resync: Omit<ResyncOptions, 'onWrote' | 'onFailed' | 'onWarning'>;
};

/** Creates the parts. */
export function createComparison({ options, etcd, source, log, clock }: ComparisonOptions): Comparison {
  const settings: Settings = { keys: keysOf(options.region), qos: options.qos };
  const policy = options.addresses;
  const projects = createProjectNames({
    max: options.projectNameCacheMax,
    onFailure: (error) =>
      log.warn(
        { err: error },
        'Keystone did not answer for the names of projects, so new endpoints lack the label that policies may select them by; retrying; see that Keystone runs and accepts the [keystone_authtoken] user',
      ),
  });
  const infrastructure = knownInfrastructure({
    etcd,
    endpoints: options.etcd.endpoints,
    onFailure: (what, error) => log.warn({ err: error }, what),
    clock,
  });
  const sync = createSync({ etcd, settings, projects, addresses: async () => ({ policy, infrastructure: await infrastructure.recent() }), nowMs: clock.nowMs });
  const addresses = async () => ({ policy, infrastructure: await infrastructure.fresh() });
  return { settings, infrastructure, sync, resync: { etcd, source, sync, settings, projects, addresses, rightPorts: createRightPorts(), clock } };
}
