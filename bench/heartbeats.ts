// Measures the cost of many hosts' reports for a real Neutron: the writes to its database for steady heartbeats, and how long the status of one more port takes in a burst of ports' statuses.
import { setTimeout as delay } from 'node:timers/promises';
import { endpointStatusKey, felixStatusKey, openstackNamespace, rfc3339Seconds } from '@calico-openstack/datamodel';
import { connectEtcd, type Etcd, type Operation } from '@calico-openstack/etcd';
import { relayInto } from '@calico-openstack/kernel/testing/relay';
import { bringUp, type Lab } from '../lab/lab.ts';
import { until } from '../lab/wait.ts';
import type { Bench, Measurement } from './bench.ts';
import { insertPorts, portOf } from './resync.ts';

const beatMs = 10_000;
const beats = 6;
const patience = { timeoutMs: 1_200_000, intervalMs: 200 };

/** The bench `heartbeats`. */
export const bench: Bench = {
  description: "what reports cost a real Neutron: heartbeats of many hosts, and a burst of ports' statuses",
  options: { hosts: 'number of hosts [1000]', ports: 'number of ports in the burst [5000]' },
  async run(options, progress) {
    const [hosts, ports] = [Number(options.get('hosts') ?? 1000), Number(options.get('ports') ?? 5000)];
    const lab = await bringUp({ prefix: `hb${process.pid % 10_000}`, hosts: 1, without: ['felix', 'dhcp-agent', 'bird-agent'] });
    const { control } = lab.plan;
    const relay = await relayInto(control.namespace, 2379, control.link.machine4);
    const etcd = connectEtcd({ endpoints: [`http://127.0.0.1:${relay.port}`] });
    try {
      const steady = await heartbeats(lab, etcd, hosts, progress);
      return [...steady, ...(await burst(lab, etcd, ports, progress))];
    } finally {
      await etcd.close();
      await relay.close();
      await lab.down();
    }
  },
};

/** Writes values in transactions of at most a hundred. */
async function put(etcd: Etcd, writes: readonly Operation[]): Promise<void> {
  for (let start = 0; start < writes.length; start += 100) await etcd.transact([], writes.slice(start, start + 100));
}

async function number({ mariadb }: Lab, statement: string): Promise<number> {
  return Number(/\d+\s*$/.exec(await mariadb.sql(statement))?.[0]);
}
/** The statements that have changed rows since the database was started. */
const writesOf = (lab: Lab): Promise<number> =>
  number(lab, "SELECT SUM(VARIABLE_VALUE) FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME IN ('COM_UPDATE', 'COM_INSERT', 'COM_DELETE')");

async function heartbeats(lab: Lab, etcd: Etcd, hosts: number, progress: (line: string) => void): Promise<Measurement[]> {
  const names = Array.from({ length: hosts }, (_, index) => `host-${index}`);
  const beat = (): Promise<void> => {
    const value = JSON.stringify({ time: rfc3339Seconds(new Date()), uptime: 1.5, first_update: false });
    return put(
      etcd,
      names.map((host) => ({ put: felixStatusKey(undefined, host), value })),
    );
  };
  progress(`${hosts} hosts report for the first time`);
  await beat();
  await until('all agents to be in Neutron', async () => (await number(lab, 'SELECT COUNT(*) FROM neutron.agents')) >= hosts || undefined, patience);
  for (let count = 0; count < 2; count += 1) {
    await beat(); // the first ones may still be under way
    await delay(beatMs);
  }
  const before = await writesOf(lab);
  for (let count = 0; count < beats; count += 1) {
    await beat();
    await delay(beatMs);
  }
  const writes = (await writesOf(lab)) - before;
  return [{ metric: 'writes to the database in 10 s', at: hosts, value: writes / beats, target: 1 }];
}

async function burst(lab: Lab, etcd: Etcd, ports: number, progress: (line: string) => void): Promise<Measurement[]> {
  progress(`inserting ${ports + 1} ports`);
  await insertPorts(lab, ports + 1);
  const report = (seq: number): Operation => {
    const workload = `${openstackNamespace(undefined)}/${portOf(seq)}`;
    const key = endpointStatusKey(undefined, { host: `host-${Math.floor(seq / 20)}`, orchestrator: 'openstack', workload, endpoint: portOf(seq) });
    return { put: key, value: '{"status":"down"}' };
  };
  const begunMs = performance.now();
  const sinceMs = (): number => Math.round(performance.now() - begunMs);
  const down = (where: string): Promise<number> => number(lab, `SELECT COUNT(*) FROM neutron.ports WHERE status = 'DOWN'${where}`);
  await put(
    etcd,
    Array.from({ length: ports }, (_, index) => report(index + 1)),
  );
  await until('the burst to be under way', async () => (await down('')) > 0 || undefined, patience);
  const reportedMs = sinceMs();
  await put(etcd, [report(ports + 1)]);
  await until('the port beside the burst', async () => (await down(` AND id = '${portOf(ports + 1)}'`)) > 0 || undefined, patience);
  const besideMs = sinceMs() - reportedMs;
  progress(`the port beside the burst waited ${besideMs} ms`);
  await until('the end of the burst', async () => (await down('')) > ports || undefined, patience);
  const drainedMs = sinceMs();
  return [
    { metric: 'burst of statuses, in Neutron after ms', at: ports, value: drainedMs },
    {
      metric: 'a port that is reported during the burst, of the burst’s time',
      at: ports,
      value: Math.round((besideMs / drainedMs) * 1000) / 1000,
      target: 0.1,
    },
  ];
}
