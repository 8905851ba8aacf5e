import { recordingLog } from '@calico-openstack/agent';
import { fakeClock } from '@calico-openstack/agent/fake-clock';
import { endpointStatusKey, felixStatusKey, type LocalWorkload, type WorkloadId } from '@calico-openstack/datamodel';
import { fakeEtcd } from '@calico-openstack/etcd/fake';
import { afterEach, expect, test } from 'vitest';
import type { WorkloadStatus } from '../dataplane.ts';
import type { FelixConfig } from '../option-table.ts';
import { type Statuses, startStatuses } from './statuses.ts';

const settings = { ReportingIntervalSecs: 30, ReportingTTLSecs: 90, EndpointReportingEnabled: true };
const configOf = (more: Partial<typeof settings> = {}): FelixConfig => ({ ...settings, ...more }) as FelixConfig;
const key = endpointStatusKey(undefined, { host: 'h1', orchestrator: 'openstack', workload: 'vm', endpoint: 'a' });
const heartbeat = felixStatusKey(undefined, 'h1');
const workload = { orchestrator: 'openstack', workload: 'vm', endpoint: 'a', interfaceName: 'tap1', addresses: [] } as unknown as LocalWorkload;

let statuses: Statuses;
afterEach(() => statuses.close());

function world() {
  const etcd = fakeEtcd();
  const clock = fakeClock();
  const { log, entries } = recordingLog();
  statuses = startStatuses({ etcd: etcd.etcd, region: undefined, host: 'h1', startedAtMs: clock.nowMs(), log, clock });
  return {
    etcd,
    clock,
    /** How many warnings and errors were logged. */
    warnings: () => entries.filter(({ severity }) => severity === 'WARNING' || severity === 'ERROR').length,
    note: (status: WorkloadStatus['status'] | undefined) =>
      statuses.note(new Map([['a' as WorkloadId, status && ({ workload, status, reason: 'why' } as WorkloadStatus)]])),
    contents: () => etcd.contents()[key],
    beat: () => JSON.parse(etcd.contents()[heartbeat] ?? '{}') as { uptime?: number; first_update?: boolean },
  };
}

test('a status that etcd does not take is written when it does, and told once', async () => {
  const w = world();
  statuses.configure(configOf({ ReportingIntervalSecs: 0 }));
  await w.clock.pass(0);
  w.etcd.etcd.cut(true);
  w.note('up');
  await w.clock.pass(60_000);
  expect([w.contents(), w.warnings()]).toEqual([undefined, 1]);
  w.etcd.etcd.cut(false);
  await w.clock.pass(10_000);
  expect(w.contents()).toBe('{"status":"up"}');
});

test('what became known while nothing was reported is written when reporting is switched on, and what changes afterwards is not when it is off', async () => {
  const w = world();
  statuses.configure(configOf({ EndpointReportingEnabled: false }));
  w.note('up');
  await w.clock.pass(1000);
  expect(w.contents()).toBeUndefined();
  statuses.configure(configOf());
  await w.clock.pass(0);
  expect(w.contents()).toBe('{"status":"up"}');
  statuses.configure(configOf({ EndpointReportingEnabled: false }));
  w.note('down');
  await w.clock.pass(1000);
  expect(w.contents()).toBe('{"status":"up"}');
});

test('an endpoint that is gone has no status', async () => {
  const w = world();
  statuses.configure(configOf());
  w.note('up');
  await w.clock.pass(0);
  w.note(undefined);
  await w.clock.pass(0);
  expect(w.contents()).toBeUndefined();
});

test('that the agent lives is reported at once and then at its interval, by the clock', async () => {
  const w = world();
  statuses.configure(configOf());
  await w.clock.pass(0);
  expect(w.beat()).toMatchObject({ uptime: 0, first_update: true });
  await w.clock.pass(29_999);
  expect(w.beat()).toMatchObject({ uptime: 0 });
  await w.clock.pass(1);
  expect(w.beat()).toMatchObject({ uptime: 30, first_update: false });
});

test('another interval counts from now on, and none ends the reports', async () => {
  const w = world();
  statuses.configure(configOf());
  await w.clock.pass(10_000);
  statuses.configure(configOf({ ReportingIntervalSecs: 5 }));
  await w.clock.pass(5000);
  expect(w.beat()).toMatchObject({ uptime: 15 });
  statuses.configure(configOf({ ReportingIntervalSecs: 0 }));
  await w.clock.pass(100_000);
  expect(w.beat()).toMatchObject({ uptime: 15 });
});
