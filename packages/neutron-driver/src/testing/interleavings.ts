// Daemons, a database and the steps that change it, for tests of the protocol between several daemons.
import type { Etcd } from '@calico-openstack/etcd';
import { fakeEtcd } from '@calico-openstack/etcd/fake';
import fc from 'fast-check';
import { expect } from 'vitest';
import type { PortRow, RowsSource } from '../rows.ts';
import { type Announcement, derive } from '../sync/announcement.ts';
import type { Change } from '../sync/change.ts';
import { openJournal } from '../sync/journal.ts';
import { type Found, keysOf, keysToRead, type Settings } from '../sync/plan.ts';
import { createSync, readKeys } from '../sync/sync.ts';
import { defaultQosOptions } from '../translate/qos.ts';
import { announcement, apiPort, type Database, database } from './database.ts';
import { bindingRow, networkId, portRow, ruleRow, subnetRow } from './rows.ts';
import { addresses } from './settings.ts';

/** The settings of the daemons. */
export const settings: Settings = { keys: keysOf(undefined), qos: defaultQosOptions };
/** The networks of the database. */
export const networks = [{ id: networkId, name: 'net', qos_policy_id: undefined }];

/** Called at each point at which another process may continue first. */
export type Gate = (what: string) => Promise<void>;
const open: Gate = async () => {};

/** A daemon. It handles announcements at once, and the rest of its journal when it is drained. */
export function daemon(etcd: Etcd, db: Database, gate: Gate = open) {
  const gated: Etcd = {
    ...etcd,
    transact: async (...args) => {
      await gate('etcd');
      return etcd.transact(...args);
    },
  };
  const source: RowsSource = {
    rows: async (question) => {
      await gate('rows');
      return db.read(question);
    },
    projects: async () => [],
    subnets: db.source.subnets,
  };
  const sync = createSync({ etcd: gated, settings, addresses, projects: async () => new Map(), nowMs: () => 0 });
  const journal = openJournal({ nowMs: () => 0, checkMs: 0 });

  async function look(looks: ReturnType<typeof journal.take>, ahead?: Found): Promise<void> {
    const direct = looks.filter(({ change }) => change.kind !== 'ports_of');
    const result = await sync(
      direct.map(({ change }) => change),
      source,
      1,
      ahead && { found: ahead },
    );
    journal.done(direct, result.wrote);
    for (const one of looks) {
      if (one.change.kind !== 'ports_of') continue;
      const group = one.change.id;
      const ports = [...db.tables.ports.values()].filter((port) => port.security_groups.includes(group) || one.change.kind === 'ports_of');
      journal.add(ports.map((port): Change => ({ kind: 'port', id: port.id, slots: [] })));
      journal.done([one], []);
    }
  }
  return {
    journal,
    /** What etcd holds of an announced object before its commit. */
    readAhead: (told: Announcement): Promise<Found> => readKeys(gated, keysToRead(derive(told, 'before').changes, settings)),
    after: (told: Announcement, ahead?: Found): Promise<void> => look(journal.after(derive(told, 'after').changes, []), ahead),
    drain: async (): Promise<void> => {
      for (let looks = journal.take(3); looks.length > 0; looks = journal.take(3)) await look(looks);
    },
  };
}

/** The values without uid and creation time, which differ each time. */
export const meaning = (contents: Record<string, string>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(contents).map(([key, text]) => {
      const value = JSON.parse(text);
      if (value.metadata) for (const field of ['uid', 'creationTimestamp']) delete value.metadata[field];
      return [key, value];
    }),
  );

/** The values that one daemon writes into an empty etcd when it checks every object. */
export async function translationOf(db: Database): Promise<Record<string, unknown>> {
  const { etcd, contents } = fakeEtcd();
  const sync = createSync({ etcd, settings, addresses, projects: async () => new Map(), nowMs: () => 0 });
  const changes: Change[] = [
    ...db.ids('subnets').map((id): Change => ({ kind: 'subnet', id })),
    ...db.ids('address_groups').map((id): Change => ({ kind: 'address_group', id })),
    ...db.ids('security_groups').map((id): Change => ({ kind: 'security_group', id })),
    ...db.ids('ports').map((id): Change => ({ kind: 'port', id, slots: [] })),
  ];
  await sync(changes, db.source, 1);
  return meaning(contents());
}

/** A step of a user, of Nova or of ML2: it changes the database and returns what is announced. */
export type Step = (db: Database) => readonly Announcement[];

/** What a step will announce, before it changes the database. */
function foretold(step: Step, db: Database): readonly Announcement[] {
  const copy = database(networks);
  for (const kind of ['ports', 'subnets', 'security_groups', 'address_groups'] as const)
    for (const [id, row] of db.tables[kind]) (copy.tables[kind] as Map<string, unknown>).set(id, row);
  return step(copy);
}

/** A step that changes a port. */
export function changePort(id: string, change: (port: PortRow) => PortRow | undefined): Step {
  return (db) => {
    const original = db.tables.ports.get(id) ?? portRow({ id, bindings: [] });
    const current = change(original);
    if (current) db.tables.ports.set(id, current);
    else db.tables.ports.delete(id);
    return [announcement('port', id, apiPort(original), apiPort(current))];
  };
}

const portIds = ['p1-a-long-id', 'p2-a-long-id'];
const groupIds = ['g1', 'g2', 'g3'];
const aPort = fc.constantFrom(...portIds);
const aHost = fc.constantFrom('h-1', 'h2', '');
const steps: fc.Arbitrary<Step> = fc.oneof(
  fc
    .tuple(aPort, aHost, fc.constantFrom('tap', 'unbound', 'binding_failed'), fc.constantFrom({}, {}, { migrating_to: 'h2' }))
    .map(([id, host, vif, profile]) => changePort(id, (port) => ({ ...port, bindings: [bindingRow(host, host === '' ? 'unbound' : vif, profile)] }))),
  fc.tuple(aPort, fc.constantFrom('vm-1', 'vm2', '')).map(([id, device_id]) => changePort(id, (port) => ({ ...port, device_id }))),
  fc.tuple(aPort, fc.constantFrom('compute:nova', '')).map(([id, device_owner]) => changePort(id, (port) => ({ ...port, device_owner }))),
  fc.tuple(aPort, fc.nat(5)).map(([id, last]) => changePort(id, (port) => ({ ...port, fixed_ips: [{ ip_address: `10.0.0.${last}`, subnet_id: 's1' }] }))),
  fc.tuple(aPort, fc.subarray(groupIds)).map(
    ([id, groups]): Step =>
      (db) =>
        changePort(id, (port) => ({ ...port, security_groups: groups.filter((group) => db.tables.security_groups.has(group)) }))(db),
  ),
  aPort.map((id) => changePort(id, () => undefined)),
  fc.tuple(fc.constantFrom(...groupIds), fc.subarray(['tcp', 'udp', 'gre']), fc.boolean()).map(
    ([id, protocols, office]): Step =>
      (db) => {
        const original = db.tables.security_groups.get(id);
        const rules = protocols.map((protocol) =>
          ruleRow({ id: protocol, security_group_id: id, protocol, remote_address_group_id: office ? 'office' : undefined }),
        );
        const isNew = office && !db.tables.address_groups.has('office');
        if (isNew) db.tables.address_groups.set('office', { id: 'office', name: 'office', addresses: ['10.0.0.0/8'] });
        db.tables.security_groups.set(id, { id, name: original?.name ?? id, stateful: true, rules });
        return [...(isNew ? [announcement('address_group', 'office', null, {})] : []), announcement('security_group', id, original ? {} : null, {})];
      },
  ),
  fc.tuple(fc.constantFrom(...groupIds), fc.constantFrom('web', 'db')).map(
    ([id, name]): Step =>
      (db) => {
        const group = db.tables.security_groups.get(id);
        if (!group) return [];
        db.tables.security_groups.set(id, { ...group, name });
        return [announcement('security_group', id, { name: group.name }, { name })];
      },
  ),
  fc.constantFrom(...groupIds).map(
    (id): Step =>
      (db) => {
        const used = [...db.tables.ports.values()].some((port) => port.security_groups.includes(id));
        return !used && db.tables.security_groups.delete(id) ? [announcement('security_group', id, {}, null)] : [];
      },
  ),
  fc.boolean().map(
    (enable_dhcp): Step =>
      (db) => {
        db.tables.subnets.set('s1', subnetRow({ id: 's1', enable_dhcp }));
        return [announcement('subnet', 's1', {}, {})];
      },
  ),
  fc.constant((db: Database) => (db.tables.subnets.delete('s1') ? [announcement('subnet', 's1', {}, null)] : [])),
);

/** ML2 does not leave a port unbound on a host: unbinding is followed by binding. */
const bindAll: Step[] = portIds.map(
  (id) => (db: Database) =>
    db.tables.ports.has(id)
      ? changePort(id, (port) => ({
          ...port,
          bindings: port.bindings.map((binding) => (binding.vif_type === 'unbound' && binding.host !== '' ? { ...binding, vif_type: 'tap' } : binding)),
        }))(db)
      : [],
);

/** The property: whatever the order of steps, announcements, reads and writes, and whichever daemons get the announcements, and how often, etcd ends as the rows say. */
export async function anyOrderEndsAsTheRowsSay(numRuns: number): Promise<void> {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(steps, fc.array(fc.nat(1), { minLength: 1, maxLength: 2 }), fc.nat(4), fc.boolean()), { maxLength: 12 }),
      fc.scheduler(),
      async (told, scheduler) => {
        const { connect, contents } = fakeEtcd();
        const db = database(networks);
        const gate: Gate = (what) => scheduler.schedule(Promise.resolve(), what);
        const daemons = [daemon(connect(), db, gate), daemon(connect(), db, gate)] as const;
        const everything: Promise<unknown>[] = [];
        for (const [step, whom, pace, reads] of [...told, ...bindAll.map((step): [Step, number[], number, boolean] => [step, [0], 1, true])]) {
          // What is read before the commit is older than what other daemons write meanwhile.
          const read = reads ? await scheduler.waitFor(Promise.all(foretold(step, db).map((one) => daemons[whom[0] as 0 | 1].readAhead(one)))) : [];
          // Lets a step commit at any time between the daemons' reads and writes for earlier ones.
          for (let count = 0; count < pace && scheduler.count() > 0; count += 1) await scheduler.waitOne();
          const said = step(db);
          for (const which of whom)
            for (const [index, one] of said.entries())
              everything.push(daemons[which as 0 | 1].after(one, read[index]).then(() => (pace === 3 ? daemons[which as 0 | 1].drain() : undefined)));
        }
        await scheduler.waitFor(Promise.all(everything));
        await scheduler.waitFor(Promise.all(daemons.map((each) => each.drain())));
        expect(meaning(contents())).toEqual(await translationOf(db));
        expect(daemons.map(({ journal }) => journal.size)).toEqual([0, 0]);
      },
    ),
    { numRuns },
  );
}
