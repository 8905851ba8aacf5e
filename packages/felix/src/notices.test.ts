import { CodedError, recordingLog } from '@calico-openstack/agent';
import { type DesiredChange, type LocalWorkload, noChange, type WorkloadId } from '@calico-openstack/datamodel';
import { fakeOpenTable } from '@calico-openstack/kernel/nftables/table.fake';
import { createPolicyCalculation } from '@calico-openstack/policy';
import { expect, test } from 'vitest';
import { createMetrics } from './metrics.ts';
import { Notices } from './notices.ts';

const emptySizes = {
  calculation: () => createPolicyCalculation({ host: 'h1' }).counts(),
  tables: () => ({ inet: fakeOpenTable('inet', 't').table.counts(), arp: fakeOpenTable('arp', 't').table.counts() }),
  routes: () => undefined,
};

function setUp() {
  const { log, entries } = recordingLog();
  const metrics = createMetrics('h1', emptySizes);
  const value = async (name: string): Promise<string | undefined> => new RegExp(`^${name} (.*)$`, 'm').exec(await metrics.registry.metrics())?.[1];
  return { notices: new Notices(log, metrics), entries, value };
}

test('a fault of ours is logged with the key, and counted', async () => {
  const { notices, entries, value } = setUp();
  notices.fault(new Error('x'), '/calico/k');
  expect(entries).toMatchObject([{ severity: 'ERROR', fields: { key: '/calico/k' } }]);
  expect(await value('felix_value_faults')).toBe('1');
});

test('an invalid value is a warning with the reason and counted, and that it is valid again is told', async () => {
  const { notices, entries, value } = setUp();
  notices.defects(new Map([['/k', { key: '/k', reason: 'spec.order is no number' }]]) as Parameters<typeof notices.defects>[0]);
  expect(entries).toMatchObject([{ severity: 'WARNING', fields: { key: '/k', reason: 'spec.order is no number' } }]);
  expect(await value('felix_invalid_values')).toBe('1');
  notices.defects(new Map([['/k', undefined]]) as Parameters<typeof notices.defects>[0]);
  expect(entries.at(-1)).toMatchObject({ severity: 'INFO', fields: { key: '/k' } });
  expect(await value('felix_invalid_values')).toBe('0');
});

test('what a workload is refused is counted until it is refused nothing, or gone', async () => {
  const { notices, value } = setUp();
  const change = (id: string, refusals: number | undefined): DesiredChange => ({
    ...noChange,
    workloads: new Map([
      [id as WorkloadId, refusals === undefined ? undefined : ({ refusals: Array.from({ length: refusals }, () => 'x') } as unknown as LocalWorkload)],
    ]),
  });
  notices.change(change('a', 2));
  notices.change(change('b', 1));
  expect(await value('felix_refused_addresses')).toBe('3');
  notices.change(change('a', 0));
  notices.change(change('b', undefined));
  expect(await value('felix_refused_addresses')).toBe('0');
});

test('a rule that cannot be programmed is logged as a fault of ours', () => {
  const { notices, entries } = setUp();
  notices.rejected({ table: 'inet', edit: { edit: 'chain' }, error: new CodedError('X', 'too large') } as unknown as Parameters<typeof notices.rejected>[0]);
  expect(entries).toMatchObject([{ severity: 'ERROR', fields: { table: 'inet', edit: 'chain' } }]);
});

test('sysctls that another program had changed are counted each time, and each interface is told of once', async () => {
  const { notices, entries, value } = setUp();
  notices.sysctlsRestored('tap1', ['proxy_arp', 'rp_filter']);
  notices.sysctlsRestored('tap1', ['proxy_arp']);
  notices.sysctlsRestored('tap2', ['proxy_arp']);
  expect(await value('felix_restored_sysctls')).toBe('4');
  expect(entries.map(({ fields }) => fields)).toEqual([
    { interface: 'tap1', sysctls: ['proxy_arp', 'rp_filter'] },
    { interface: 'tap2', sysctls: ['proxy_arp'] },
  ]);
});

test('QoS controls that are not in force as they are written are told with their workload, and others are not', () => {
  const { notices, entries } = setUp();
  const change = (ingressBandwidth: number): DesiredChange => ({
    ...noChange,
    workloads: new Map([['a' as WorkloadId, { qosControls: { ingressBandwidth } } as unknown as LocalWorkload]]),
  });
  notices.change(change(1_000_000));
  expect(entries).toEqual([]);
  notices.change(change(1));
  expect(entries).toMatchObject([{ severity: 'WARNING', fields: { endpoint: 'a', reasons: [expect.stringContaining('ingressBandwidth is 1;')] } }]);
});
