// A real Neutron with the driver for system tests: a lab whose hosts have no agents, because the tests play them. In etcd the driver has its least rights.

import { dirname, join } from 'node:path';
import { endpointStatusKey, felixStatusKey, openstackNamespace, rfc3339Seconds } from '@calico-openstack/datamodel';
import { bringUp, type Lab, type LabOptions } from '../../../../lab/lab.ts';
import { until } from '../../../../lab/wait.ts';
import { readOpen } from '../sync/journal-file.ts';

/** What `bringUpCloud` returns. */
export type Cloud = Awaited<ReturnType<typeof bringUpCloud>>;

/**
 * With these settings, Neutron does not take an agent for dead while a test waits for the election of a driver. A killed driver's election lasts until its lease expires, a minute
 * after the last restart of etcd, and meanwhile nobody reports agents.
 */
const reporting = { intervalSeconds: 15, ttlSeconds: 90, agentDownSeconds: 600 };

/** How long a command or the daemon may take that loads Neutron: on a busy machine it is a minute. */
const loadingMs = 300_000;

/** Brings the cloud up. @param more further options of the lab */
export async function bringUpCloud(prefix: string, more: Pick<LabOptions, 'corePlugin' | 'etcdMembers' | 'neutronEnvironment'> = {}) {
  const lab: Lab = await bringUp({ prefix, hosts: 1, without: ['felix', 'dhcp-agent', 'bird-agent'], reporting, etcdUsers: true, ...more });
  const { openstack } = lab;

  async function contents(start = '/calico/'): Promise<Record<string, unknown>> {
    const answer = JSON.parse(await lab.etcd.ctl('get', '--prefix', start, '-w', 'json')) as { kvs?: { key: string; value: string }[] };
    const text = (base64: string): string => Buffer.from(base64, 'base64').toString();
    return Object.fromEntries((answer.kvs ?? []).map(({ key, value }) => [text(key), json(text(value))]));
  }

  async function served(): Promise<void> {
    await until('the driver to serve', () => lab.driver?.said().includes('rows process has connected') || undefined, { timeoutMs: loadingMs });
  }

  const resource = (plural: string): Promise<Record<string, Resource>> =>
    contents(`/calico/resources/v3/projectcalico.org/${plural}/`) as Promise<Record<string, Resource>>;

  return {
    lab,
    openstack,
    contents,
    endpoints: () => resource('workloadendpoints'),
    policies: () => resource('networkpolicies'),
    /** A port's endpoints by host. */
    async endpointsOf(port: string): Promise<Record<string, Resource>> {
      const all = Object.values(await resource('workloadendpoints'));
      return Object.fromEntries(all.filter(({ spec }) => spec['endpoint'] === port).map((endpoint) => [String(endpoint.spec['node']), endpoint]));
    },
    /** Writes a Felix's heartbeat, and resolves when Neutron shows the agent alive. */
    async felixReports(host: string, started = false): Promise<void> {
      await lab.etcd.ctl('put', felixStatusKey(undefined, host), JSON.stringify({ time: rfc3339Seconds(new Date()), uptime: 1.5, first_update: started }));
      await until(`a living agent on ${host}`, async () => (await openstack.list('agent', { host })).some((agent) => agent.alive) || undefined);
    },
    /** Writes a Felix's report of a port's status; undefined deletes the report. */
    async portReport(host: string, device: string, port: string, status: string | undefined): Promise<void> {
      const key = endpointStatusKey(undefined, { host, orchestrator: 'openstack', workload: `${openstackNamespace(undefined)}/${device}`, endpoint: port });
      if (status === undefined) await lab.etcd.ctl('del', key);
      else await lab.etcd.ctl('put', key, JSON.stringify({ status }));
    },
    /** Resolves when the endpoints of all ports have their project's name: it is written later when Keystone does not answer in time. */
    async named(): Promise<void> {
      const lacks = ({ metadata }: Resource): boolean => metadata.labels?.['projectcalico.org/openstack-project-name'] === undefined;
      await until("the projects' names", async () => !Object.values(await resource('workloadendpoints')).some(lacks) || undefined);
    },
    portBecomes: (port: string, status: string): Promise<true> =>
      until(`port ${port} to be ${status}`, async () => (await openstack.get('port', port)).status === status || undefined),
    /** Runs calico-resync, with further options, and returns its summary. */
    async resync(...options: readonly string[]): Promise<Record<string, unknown>> {
      const command = join(import.meta.dirname, '../bin/calico-resync.ts');
      const where = { on: lab.plan.control, env: { PYTHONPATH: lab.neutron.pythonPath }, timeoutMs: loadingMs };
      return JSON.parse(await lab.processes.run(process.execPath, [command, '--config-file', lab.neutron.configuration, ...options], where));
    },
    /** Resolves when the daemon has etcd and Neutron, and nothing left to check, not even after a restart. */
    async settled(): Promise<void> {
      // calico-resync gets its result when the running checks have ended. It fails while the daemon does not have etcd yet, or its rows process.
      const command = [join(import.meta.dirname, '../bin/calico-resync.ts'), '--config-file', lab.neutron.configuration];
      await until('a resync', () => lab.processes.run(process.execPath, command, { timeoutMs: loadingMs }), { timeoutMs: loadingMs });
      const journal = join(dirname(lab.neutron.configuration), 'driver-state/journal');
      await until('the journal to be empty', () => readOpen(journal).open.length === 0 || undefined, { timeoutMs: loadingMs });
    },
    /** Restarts the daemon and waits until it serves. */
    async restartDriver(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
      lab.driver?.kill(signal);
      await lab.driver?.ended();
      await lab.driver?.start();
      await served();
    },
    /** Resolves when the daemon has its rows process. */
    served,
  };
}

export type Resource = {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly uid: string; readonly labels?: Record<string, string>; readonly annotations?: Record<string, string> };
  readonly spec: Record<string, unknown>;
};

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
