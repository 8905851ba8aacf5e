// Tests replays, reorderings, duplicates and two daemons: etcd ends as a translation of the final rows, whatever the order of reads and writes.
import { type Etcd, EtcdError } from '@calico-openstack/etcd';
import { fakeEtcd } from '@calico-openstack/etcd/fake';
import { expect, test } from 'vitest';
import { announcement, apiPort, database } from '../testing/database.ts';
import { anyOrderEndsAsTheRowsSay, changePort, daemon, meaning, networks, type Step, settings, translationOf } from '../testing/interleavings.ts';
import { bindingRow, ruleRow } from '../testing/rows.ts';
import type { Announcement } from './announcement.ts';

test('whatever the order of steps, announcements, reads and writes, and whichever daemons get the announcements, and how often, etcd ends as the rows say', () =>
  anyOrderEndsAsTheRowsSay(500));

test('when a check that finds nothing to change is overtaken by a writer with older rows, the second check corrects it', async () => {
  const { connect, contents } = fakeEtcd();
  const db = database(networks);
  const address = (last: number): Step =>
    changePort('p1-a-long-id', (port) => ({
      ...port,
      bindings: [bindingRow('h1')],
      security_groups: [],
      fixed_ips: [{ ip_address: `10.0.0.${last}`, subnet_id: 's1' }],
    }));
  const [first] = address(1)(db) as [Announcement];
  await daemon(connect(), db).after(first);
  // The slow daemon reads etcd and the rows of the second step, and stops before it writes.
  const writing = Promise.withResolvers<void>();
  let reads = 0;
  const slow = daemon(connect(), db, async (what) => {
    if (what === 'etcd' && reads++ === 1) await writing.promise;
  });
  const slowly = slow.after(address(2)(db)[0]!);
  while (reads < 2) await Promise.resolve();
  // The third step undoes the second, so etcd already holds its result.
  await daemon(connect(), db).after(address(1)(db)[0]!);
  writing.resolve();
  await slowly;
  expect(Object.values(contents()).join()).toContain('10.0.0.2/32'); // older rows won ...
  await slow.drain();
  expect(Object.values(contents()).join()).not.toContain('10.0.0.2/32'); // ... for a moment
  expect(meaning(contents())).toEqual(await translationOf(db));
});

test('when nothing differs nothing is written', async () => {
  const { etcd } = fakeEtcd();
  const db = database(networks);
  db.tables.security_groups.set('g1', { id: 'g1', name: 'g1', stateful: true, rules: [] });
  const step = changePort('p1-a-long-id', (port) => ({ ...port, bindings: [bindingRow('h1')], security_groups: ['g1'] }));
  const one = daemon(etcd, db);
  await one.after(step(db)[0]!);
  const { revision } = await etcd.get('/');
  for (const again of [
    ...step(db),
    announcement('security_group', 'g1', {}, {}),
    announcement('port', 'p1-a-long-id', null, apiPort(db.tables.ports.get('p1-a-long-id'))),
  ])
    await one.after(again);
  await one.drain();
  expect((await etcd.get('/')).revision).toBe(revision);
});

test("a port's groups are in etcd in the same transaction as its endpoint, and are not rewritten with it", async () => {
  const { etcd, contents } = fakeEtcd();
  const db = database(networks);
  for (const id of ['g1', 'g2']) db.tables.security_groups.set(id, { id, name: id, stateful: true, rules: [ruleRow({ security_group_id: id })] });
  const one = daemon(etcd, db);
  await one.after(announcement('security_group', 'g1', null, {}));
  const policy = settings.keys.policy('g1');
  const before = await etcd.get(policy);
  await one.after(changePort('p1-a-long-id', (port) => ({ ...port, bindings: [bindingRow('h1')], security_groups: ['g1', 'g2'] }))(db)[0]!);
  const endpoint = await etcd.get(Object.keys(contents()).find((key) => key.includes('workloadendpoints')) ?? '');
  const second = await etcd.get(settings.keys.policy('g2'));
  expect(second.found?.modRevision).toBe(endpoint.found?.modRevision);
  expect((await etcd.get(policy)).found?.modRevision).toBe(before.found?.modRevision);
});

test('a change keeps uid, creation time and the metadata of other programs; a value that is not JSON is replaced', async () => {
  const { etcd } = fakeEtcd();
  const db = database(networks);
  const one = daemon(etcd, db);
  const key = settings.keys.policy('g1');
  db.tables.security_groups.set('g1', { id: 'g1', name: 'g1', stateful: true, rules: [] });
  const metadata = { name: 'x', uid: 'u-1', creationTimestamp: '2020-01-01T00:00:00Z', annotations: { note: 'mine' } };
  await etcd.transact([], [{ put: key, value: JSON.stringify({ kind: 'NetworkPolicy', metadata, spec: {} }) }]);
  await one.after(announcement('security_group', 'g1', {}, {}));
  const stored = JSON.parse(Buffer.from((await etcd.get(key)).found?.value ?? []).toString());
  expect(stored.metadata).toEqual({ ...metadata, name: 'ossg.default.g1', namespace: 'openstack' });
  await etcd.transact([], [{ put: key, value: 'torn' }]);
  await one.after(announcement('security_group', 'g1', {}, {}));
  expect(JSON.parse(Buffer.from((await etcd.get(key)).found?.value ?? []).toString()).spec).toMatchObject({ ingress: [], egress: [] });
});

test('while ML2 binds again on the same host, the endpoint is neither deleted nor recreated', async () => {
  const { etcd, contents } = fakeEtcd();
  const db = database(networks);
  const one = daemon(etcd, db);
  const bind = (vif: string, profile = {}): Promise<void> =>
    one.after(changePort('p1-a-long-id', (port) => ({ ...port, security_groups: [], bindings: [bindingRow('h1', vif, profile)] }))(db)[0]!);
  await bind('tap');
  const before = contents();
  for (const profile of [{ migrating_to: 'h2' }, {}]) {
    await bind('unbound', profile);
    await bind('tap', profile);
    expect(contents()).toMatchObject(before);
  }
  await one.drain();
  expect(contents()).toEqual(before);
});

test('a port with more groups than etcd compares keys in a transaction is written once its groups exist', async () => {
  const { etcd: fake, contents } = fakeEtcd();
  const etcd: Etcd = {
    ...fake,
    transact: async (when, then, otherwise) => {
      if (Math.max(when.length, then.length) > 128) throw new EtcdError('ETCD_REFUSED', 'etcdserver: too many operations in txn request');
      return fake.transact(when, then, otherwise);
    },
  };
  const db = database(networks);
  const groups = Array.from({ length: 200 }, (_, n) => `g${n}`);
  const one = daemon(etcd, db);
  for (const id of groups) {
    db.tables.security_groups.set(id, { id, name: id, stateful: true, rules: [] });
    await one.after(announcement('security_group', id, null, {}));
  }
  await one.after(changePort('p1-a-long-id', (port) => ({ ...port, bindings: [bindingRow('h1')], security_groups: groups }))(db)[0]!);
  expect(Object.keys(contents()).filter((key) => key.includes('workloadendpoints'))).toHaveLength(1);
});
