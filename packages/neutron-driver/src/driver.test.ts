import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { recordingLog } from '@calico-openstack/agent';
import { fakeClock } from '@calico-openstack/agent/fake-clock';
import { endpointStatusKey, felixStatusKey } from '@calico-openstack/datamodel';
import { fakeEtcd } from '@calico-openstack/etcd/fake';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { defaultAddressPolicy } from './addressing/rules.ts';
import { startDaemon } from './driver.ts';
import type { Options } from './option-table.ts';
import type { RowsQuestion, SubnetsQuestion } from './rows.ts';
import type { AgentReport, PagedKind, StatusUpdate } from './sources.ts';
import { keysOf } from './sync/plan.ts';
import { backgroundOver } from './testing/background.ts';
import { announcement, apiPort, database } from './testing/database.ts';
import { eventually } from './testing/eventually.ts';
import { type NeutronProcess, neutronProcess } from './testing/neutron-process.ts';
import { bindingRow, deviceId, portRow, subnetRow } from './testing/rows.ts';
import { defaultQosOptions } from './testing/settings.ts';
import type { Role } from './wire/peer.ts';

/** A TCP port on which nobody listens. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

let directory: string;
const closing: (() => unknown)[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'driver-'));
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  rmSync(directory, { recursive: true });
});

const keys = keysOf(undefined);
const row = portRow({ bindings: [bindingRow('h1')], security_groups: [] });
const endpointKey = keys.endpoint({ host: 'h1', device: deviceId }, row.id);

function setUp(some: Partial<Options> = {}) {
  const fake = fakeEtcd();
  const clock = fakeClock();
  const db = database();
  const { log, entries } = recordingLog();
  const socketPath = join(directory, 'sock');
  const stateDirectory = join(directory, 'state');
  const options: Options = {
    etcd: { endpoints: ['http://192.0.2.1:2379'] },
    etcdTimeoutMs: 60_000,
    patience: { commitMs: 5_000, outageMs: 1_000 },
    region: undefined,
    serverName: 'ctl-1',
    startupResync: false,
    compactionPeriodMinutes: 0,
    compactionMinRevisions: 1000,
    portStatusThreads: 1,
    projectNameCacheMax: 10,
    qos: defaultQosOptions,
    addresses: defaultAddressPolicy,
    socketPath,
    stateDirectory,
    rowsCommand: [],
    rowsConfigFiles: [],
    metrics: undefined,
    agentReportMs: 15_000,
    log: { screen: 'INFO' },
    ...some,
  };
  const background = backgroundOver(db);
  const statuses: StatusUpdate[] = [];
  const agents: AgentReport[] = [];
  const pages: PagedKind[] = [];
  const questions: RowsQuestion[] = [];

  /** Answers like the rows process, from one small database. */
  async function answer(method: string, params: unknown): Promise<unknown> {
    switch (method) {
      case 'rows':
        questions.push(params as RowsQuestion);
        return db.read(params as RowsQuestion);
      case 'projects':
        return [];
      case 'subnets':
        return db.source.subnets(params as SubnetsQuestion);
      case 'page': {
        const { kind, after, limit } = params as { kind: PagedKind; after: string; limit: number };
        pages.push(kind);
        return background.page(kind, after, limit);
      }
      case 'shared_stamp':
        return background.sharedStamp();
      case 'port_stamps':
        return background.portStamps((params as { after: string }).after, (params as { limit: number }).limit);
      case 'not_carried_out':
        return background.notCarriedOut();
      case 'set_port_status': {
        const update = params as StatusUpdate;
        statuses.push(update);
        db.tables.ports.set(update.port, { ...db.tables.ports.get(update.port)!, status: update.status });
        return null;
      }
      case 'report_agents':
        agents.push(...(params as { agents: AgentReport[] }).agents);
        return null;
      default:
        throw new Error(`not asked for: ${method}`);
    }
  }

  async function start() {
    const daemon = await startDaemon({ options, etcd: fake.connect(), log, clock });
    let open = true;
    const close = async (): Promise<void> => {
      if (open) await daemon.close();
      open = false;
    };
    closing.push(close);
    return { close };
  }
  async function connect(role: Role, pid = 7): Promise<NeutronProcess> {
    const connected = await neutronProcess(socketPath, role, pid, answer);
    closing.push(() => connected.die());
    return connected;
  }
  return {
    ...fake,
    clock,
    db,
    start,
    connectProcess: connect,
    stateDirectory,
    statuses,
    agents,
    pages,
    questions,
    said: () => entries.map(({ message }) => message),
  };
}

const bound = (marks: readonly string[] = []) => ({
  ...announcement('port', row.id, apiPort({ ...row, bindings: [bindingRow('h1', 'unbound')] }), apiPort(row)),
  marks,
});
const statusKey = endpointStatusKey(undefined, { host: 'h1', orchestrator: 'openstack', workload: `openstack/${deviceId}`, endpoint: row.id });

test('what Neutron announces is in etcd when its call returns, and is looked at once more a second later', async () => {
  const { db, clock, contents, connect, start, connectProcess } = setUp();
  await start();
  await connectProcess('rows', 8);
  const api = await connectProcess('api');
  await api.call('before', bound(['m']));
  db.tables.ports.set(row.id, row);
  await api.call('after', bound(['m']));
  const specOf = (text: string | undefined): unknown => JSON.parse(text ?? '{}').spec;
  const right = specOf(contents()[endpointKey]);
  expect(right).toMatchObject({ ipNetworks: ['10.40.0.7/32'] });
  await connect().transact([], [{ put: endpointKey, value: '{}' }]); // another driver that read older rows
  await clock.pass(1000);
  await eventually(() => expect(specOf(contents()[endpointKey])).toEqual(right));
});

test('what was announced by a process that died is looked at with the rows process, as soon as there is one', async () => {
  const { db, contents, start, connectProcess, clock } = setUp();
  await start();
  const api = await connectProcess('api');
  await api.call('before', bound(['m']));
  db.tables.ports.set(row.id, row);
  api.die();
  await connectProcess('rows', 8);
  await eventually(() => expect(Object.keys(contents())).toContain(endpointKey));
  await clock.pass(0);
});

test('states of ports and agents go to Neutron, and a port that was bound anew is looked at again', async () => {
  const { etcd, db, statuses, agents, start, connectProcess, clock } = setUp();
  db.tables.ports.set(row.id, row);
  await etcd.transact([], [{ put: statusKey, value: '{"status":"up"}' }]);
  await etcd.transact([], [{ put: felixStatusKey(undefined, 'h1'), value: JSON.stringify({ time: '2026-01-01T00:00:00Z', uptime: 1, first_update: true }) }]);
  await start();
  await connectProcess('rows', 8);
  await eventually(() => expect(statuses).toEqual([{ port: row.id, host: 'h1', status: 'ACTIVE' }]));
  await eventually(() => expect(agents).toEqual([{ agent: 'calico-felix', host: 'h1', started: true }]));
  // Neutron itself set the port to DOWN while it bound it again. Felix has nothing new to report.
  db.tables.ports.set(row.id, row);
  const api = await connectProcess('api');
  await api.call('after', bound());
  await eventually(() => expect(statuses).toHaveLength(2));
  await clock.pass(0);
});

test('metrics tell of a port that migrates to a host whose Felix does not report it', async () => {
  const port = await freePort();
  const { etcd, db, statuses, start, connectProcess, clock, said } = setUp({ metrics: { host: '127.0.0.1', port } });
  db.tables.ports.set(row.id, { ...row, bindings: [bindingRow('h1', 'tap', { migrating_to: 'h2' })] });
  await etcd.transact([], [{ put: statusKey, value: '{"status":"up"}' }]);
  await start();
  await connectProcess('rows', 8);
  await eventually(() => expect(statuses).toHaveLength(1));
  const metrics = async (): Promise<readonly string[]> =>
    (await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()).match(/^calico_neutron_driver_\S+ \d+$/gm) ?? [];
  await eventually(async () => expect(await metrics()).toEqual(['calico_neutron_driver_unreported_migrations 0', 'calico_neutron_driver_journal_entries 0']));
  await clock.pass(10_000);
  await eventually(async () => expect((await metrics())[0]).toBe('calico_neutron_driver_unreported_migrations 1'));
  expect(said().filter((sentence) => sentence.includes('whose Felix has not reported its port'))).toHaveLength(1);
});

test('an etcd in whose place another stands is filled again, though no resync is asked for at the start', async () => {
  const { db, contents, replace, start, connectProcess, clock } = setUp();
  db.tables.subnets.set('s1', subnetRow({ id: 's1' }));
  await start();
  await connectProcess('rows', 8);
  await eventually(() => expect(JSON.stringify(contents())).toContain('datastoreReady'));
  expect(Object.keys(contents())).not.toContain(keys.subnet('s1'));
  replace();
  await clock.pass(5000);
  await eventually(() => expect(Object.keys(contents())).toContain(keys.subnet('s1')));
});

test('a journal with lines that cannot be read has all of etcd compared, though no resync is asked for at the start', async () => {
  const { db, contents, start, connectProcess, stateDirectory, said } = setUp();
  db.tables.subnets.set('s1', subnetRow({ id: 's1' }));
  mkdirSync(stateDirectory);
  writeFileSync(join(stateDirectory, 'journal'), 'torn\n');
  await start();
  expect(said()).toContainEqual(expect.stringMatching(/^lines of the journal cannot be read/));
  await connectProcess('rows', 8);
  await eventually(() => expect(Object.keys(contents())).toContain(keys.subnet('s1')));
});

test('what etcd had not got when the daemon ended stands in the journal, and the next one makes up for it', async () => {
  const { db, contents, setDown, start, connectProcess, said } = setUp();
  const first = await start();
  const api = await connectProcess('api');
  await api.call('before', bound(['m']));
  db.tables.ports.set(row.id, row);
  setDown(true);
  await expect(api.call('after', bound(['m']))).rejects.toMatchObject({ code: 'ETCD_UNAVAILABLE' });
  await first.close();
  setDown(false);
  expect(Object.keys(contents())).not.toContain(endpointKey);
  await start();
  await connectProcess('rows', 8);
  await eventually(() => expect(Object.keys(contents())).toContain(endpointKey));
  expect(said()).toContainEqual(expect.stringMatching(/has not reached etcd/));
});

test('a tool has everything compared, and is told what was done; what resync wrote is looked at once more', async () => {
  const { db, start, connectProcess, pages, questions } = setUp();
  db.tables.subnets.set('s1', subnetRow({ id: 's1' }));
  await start();
  await connectProcess('rows', 8);
  const tool = await connectProcess('tool', 9);
  expect(await tool.call('resync', {})).toMatchObject({ ok: true, phases: { subnets: { created: 1 } } });
  expect(new Set(pages)).toEqual(new Set(['subnets', 'address_groups', 'security_groups']));
  await eventually(() => expect(questions.filter(({ subnets }) => subnets.includes('s1'))).toHaveLength(2));
  await expect(tool.call('resize', {})).rejects.toMatchObject({ code: 'NO_SUCH_METHOD' });
});

test('a state directory that cannot be used is named with the option', async () => {
  writeFileSync(join(directory, 'file'), '');
  const { start } = setUp({ stateDirectory: join(directory, 'file') });
  await expect(start()).rejects.toMatchObject({ code: 'JOURNAL_UNUSABLE', message: expect.stringMatching(/neutron_driver_state_dir/) });
});
