// Reports to etcd that this agent is alive, so that Neutron's list of agents shows it.
import { type Clock, type Logger, systemClock } from '@calico-openstack/agent';
import { agentHeartbeat, heartbeatTimes } from '@calico-openstack/datamodel';
import { type Etcd, type LeasedWriter, writeUnderLease } from '@calico-openstack/etcd';

/** The agent whose heartbeat is written, and the log for failures. */
export type HeartbeatOptions = { readonly region: string | undefined; readonly host: string; readonly log: Logger; readonly clock?: Clock };

/** Writes a heartbeat at once and then at every interval, until closed. The rest of the agent does not depend on it. */
export function startHeartbeat(etcd: Etcd, { region, host, log, clock = systemClock }: HeartbeatOptions): LeasedWriter {
  const beat = agentHeartbeat(region, host, 'calico-bird-agent', clock.nowMs());
  return writeUnderLease(etcd, {
    ...heartbeatTimes,
    operations: (lease) => beat.operations(lease, clock.nowMs()),
    onWritten: beat.written,
    onError: (error, failures) => {
      if (failures > 1) return;
      log.warn(
        { err: error },
        'the heartbeat cannot be written to etcd, so Neutron shows this BIRD agent as dead; retrying; see that its user has the rights that calico-openstack etcd-roles gives',
      );
    },
    clock,
  });
}
