import { etcdParts, felixRights, felixStatusRoot } from '@calico-openstack/datamodel';
import type { Permission } from '@calico-openstack/etcd/users';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { etcdctlCommands } from './etcdctl.ts';
import { type Change, nothingPresent, type Present, planChanges, sentenceOf } from './plan.ts';
import { permissionsOf, rangeName, type WantedUser, wantedUsers } from './wanted.ts';

const cloud = { hosts: ['compute-1', 'compute-2'], region: undefined, parts: etcdParts, removeHostsGone: false };
const never = (): boolean => false;

/** What etcd would hold after the changes; it refuses what a real one refuses. */
function carriedOut(present: Present, changes: readonly Change[]): Present {
  const users = new Map([...present.users].map(([name, roles]) => [name, [...roles]]));
  const roles = new Map([...present.roles].map(([name, permissions]) => [name, new Map(permissions.map((each) => [rangeName(each), each]))]));
  for (const change of changes) {
    switch (change.kind) {
      case 'add role':
        if (roles.has(change.role)) throw new Error('role name already exists');
        roles.set(change.role, new Map());
        break;
      case 'grant':
        roles.get(change.role)!.set(rangeName(change.permission), change.permission);
        break;
      case 'revoke':
        if (!roles.get(change.role)!.delete(rangeName(change.range))) throw new Error('permission is not granted to the role');
        break;
      case 'add user':
        if (users.has(change.user)) throw new Error('user name already exists');
        users.set(change.user, []);
        break;
      case 'set password':
        if (!users.has(change.user)) throw new Error('user name not found');
        break;
      case 'grant role':
        if (!roles.has(change.role)) throw new Error('role name not found');
        users.get(change.user)!.push(change.role);
        break;
    }
  }
  return { users, roles: new Map([...roles].map(([name, permissions]) => [name, [...permissions.values()]])) };
}

const access = fc.constantFrom<Permission['access']>('read', 'write', 'readwrite');
const permissions = fc
  .array(fc.record({ access, from: fc.constantFrom('/a/', '/b/', '/c'), to: fc.constantFrom('', '/d') }), { maxLength: 5 })
  .map((list) => [...new Map(list.map((each) => [rangeName(each), each])).values()]);
const names = ['one', 'two', 'three'];
const wantedArbitrary = fc.uniqueArray(fc.record({ name: fc.constantFrom(...names), permissions }), { selector: ({ name }) => name });
const presentArbitrary: fc.Arbitrary<Present> = fc.record({
  users: fc
    .uniqueArray(fc.tuple(fc.constantFrom(...names, 'root'), fc.subarray([...names, 'operators'])), { selector: ([name]) => name })
    .map((list) => new Map(list)),
  roles: fc.uniqueArray(fc.tuple(fc.constantFrom(...names), permissions), { selector: ([name]) => name }).map((list) => new Map(list)),
});
const asSet = (list: readonly Permission[]): unknown => new Set(list.map((each) => `${each.access} ${rangeName(each)}`));

describe('a plan', () => {
  test('makes etcd as wanted, from whatever is there, and then there is nothing to do', () => {
    fc.assert(
      fc.property(wantedArbitrary, presentArbitrary, (wanted, present) => {
        const after = carriedOut(present, planChanges(wanted, present, never));
        for (const user of wanted) {
          expect(asSet(after.roles.get(user.name) ?? [])).toEqual(asSet(user.permissions));
          expect(after.users.get(user.name)).toContain(user.name);
        }
        for (const [name, roles] of present.users) expect(after.users.get(name)).toEqual(expect.arrayContaining([...roles]));
        expect(planChanges(wanted, after, never)).toEqual([]);
      }),
    );
  });

  test('takes nothing from anybody before he has what he lacks', () => {
    fc.assert(
      fc.property(wantedArbitrary, presentArbitrary, (wanted, present) => {
        const changes = planChanges(wanted, present, never);
        for (const { name } of wanted) {
          const own = changes.filter((change) => 'role' in change && change.role === name).map(({ kind }) => kind);
          expect(own.lastIndexOf('grant')).toBeLessThanOrEqual(own.includes('revoke') ? own.indexOf('revoke') : own.length);
        }
      }),
    );
  });

  test('sets a password only of a user that is there and has a new one', () => {
    const [user] = wantedUsers(cloud) as [WantedUser];
    const present: Present = { users: new Map([[user.name, [user.name]]]), roles: new Map([[user.name, user.permissions]]) };
    expect(planChanges([user], present, () => true)).toEqual([{ kind: 'set password', user: user.name }]);
    expect(planChanges([user], nothingPresent, () => true).map(({ kind }) => kind)).not.toContain('set password');
  });
});

describe('the users of a cloud', () => {
  test('are one for each part of each host, and one for the driver of the region', () => {
    const namesOf = (region: string | undefined): readonly string[] =>
      wantedUsers({ ...cloud, hosts: ['compute-1', 'compute-1'], region }).map(({ name }) => name);
    expect(namesOf(undefined)).toEqual(['calico-felix.compute-1', 'calico-dhcp-agent.compute-1', 'calico-bird-agent.compute-1', 'calico-neutron-driver']);
    expect(namesOf('r1').at(-1)).toBe('calico-neutron-driver.r1');
  });

  test('may do what the table says, in their region', () => {
    const [felix] = wantedUsers({ ...cloud, region: 'r1' });
    expect(felix!.permissions).toEqual(permissionsOf(felixRights('r1', 'compute-1')));
    expect(felix!.permissions).toContainEqual({ access: 'readwrite', from: `${felixStatusRoot('r1')}compute-1/`, to: `${felixStatusRoot('r1')}compute-10` });
  });

  test('have one right for a range, the greater one', () => {
    const bird = wantedUsers({ ...cloud, parts: ['calico-bird-agent'], removeHostsGone: true })[0]!;
    expect(bird.permissions.filter(({ from, to }) => from.endsWith('/nodes/') && to !== '').map(({ access: granted }) => granted)).toEqual(['readwrite']);
  });

  test.each<[Partial<typeof cloud> & { region?: string }, RegExp]>([
    [{ hosts: ['compute 1'] }, /"compute 1" is no host name/],
    [{ hosts: ['../x'] }, /is no host name/],
    [{ hosts: ["x';reboot;'"] }, /is no host name/],
    [{ hosts: [`h${'x'.repeat(60)}`] }, /longer than the 64 characters/],
    [{ region: 'R/1' as never }, /is no region/],
  ])('%j is refused', (change, reason) => {
    expect(() => wantedUsers({ ...cloud, ...change })).toThrow(reason);
  });
});

describe('what is printed', () => {
  const changes: readonly Change[] = [
    { kind: 'add role', role: 'r' },
    { kind: 'grant', role: 'r', permission: { access: 'readwrite', from: '/a b/', to: "/a b'" } },
    { kind: 'grant', role: 'r', permission: { access: 'read', from: '/one', to: '' } },
    { kind: 'revoke', role: 'r', range: { from: '/x/', to: '/x0' } },
    { kind: 'add user', user: 'u' },
    { kind: 'grant role', user: 'u', role: 'r' },
  ];

  test('as commands is one word each to a shell, and holds no password', () => {
    expect(etcdctlCommands(changes, undefined)).toEqual([
      'etcdctl role add r',
      "etcdctl role grant-permission r readwrite '/a b/' '/a b'\\'''",
      'etcdctl role grant-permission r read /one',
      'etcdctl role revoke-permission r /x/ /x0',
      'etcdctl user add u --no-password',
      'etcdctl user grant-role u r',
    ]);
    expect(etcdctlCommands([{ kind: 'add user', user: 'u' }], '/secret place')).toEqual([
      "(umask 077; mkdir -p '/secret place')",
      "test -s '/secret place/u' || (umask 077; openssl rand -hex 24 > '/secret place/u')",
      "etcdctl user add u --interactive=false < '/secret place/u'",
    ]);
  });

  test('as sentences says who may what', () => {
    expect(changes.map(sentenceOf)).toEqual([
      'role r: made',
      'role r: may read and write /a b/…',
      'role r: may read /one',
      'role r: may nothing any more with /x/…',
      'user u: made',
      'user u: has the role r',
    ]);
  });
});
