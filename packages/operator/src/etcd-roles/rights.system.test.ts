// Tests the parts' least rights (datamodel's table), which calico-openstack etcd-roles creates in a real etcd with users: each part's reads and writes are allowed, and nothing else.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { followedPrefixes } from '@calico-openstack/bird-agent/store';
import {
  agentStatusKey,
  compactionLastKey,
  compactionTriggerKey,
  electionKey,
  endpointStatusKey,
  felixLastStatusKey,
  felixStatusKey,
  felixStatusRoot,
  type GlobalPlural,
  hostEndpointStatusKey,
  hostEndpointsPrefix,
  legacyElectionKey,
  type NamespacedPlural,
  openstackNamespace,
  resourceKey,
  resourceRoot,
  subnetKey,
  subnetPrefix,
  workloadEndpointName,
  workloadEndpointNamePrefix,
} from '@calico-openstack/datamodel';
import { connectEtcd, type Etcd, EtcdError, elect } from '@calico-openstack/etcd';
import { type EtcdProcess, startEtcd } from '@calico-openstack/etcd/testing/etcd-process';
import { recorder } from '@calico-openstack/etcd/testing/recorder';
import { connectEtcdUsers } from '@calico-openstack/etcd/users';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { calicoOpenstack, passwordFile } from '../testing/calico-openstack.ts';
import { passwordIn } from './passwords.ts';

/** Two hosts without a region, one of region r1, and one that removes the Nodes of hosts that are gone. */
const runs = [
  ['--host', 'host-1', 'host-2'],
  ['--host', 'host-9', '--region', 'r1'],
  ['--host', 'host-7', '--part', 'calico-bird-agent', '--remove-hosts-gone'],
];
const users = {
  felix1: 'calico-felix.host-1',
  felix2: 'calico-felix.host-2',
  felix9: 'calico-felix.host-9',
  dhcp1: 'calico-dhcp-agent.host-1',
  dhcp2: 'calico-dhcp-agent.host-2',
  dhcp9: 'calico-dhcp-agent.host-9',
  bird1: 'calico-bird-agent.host-1',
  bird2: 'calico-bird-agent.host-2',
  bird9: 'calico-bird-agent.host-9',
  remover: 'calico-bird-agent.host-7',
  driver: 'calico-neutron-driver',
  driver9: 'calico-neutron-driver.r1',
} as const;
type User = keyof typeof users;
const all = Object.keys(users) as User[];

const [felixes, birdAgents, drivers] = [/^felix/, /^bird|^remover/, /^driver/].map((kind) => all.filter((user) => kind.test(user))) as [User[], User[], User[]];
const policyReaders = [...felixes, ...drivers];
const bgpReaders = [...policyReaders, ...birdAgents];

const named = (plural: GlobalPlural, name: string): string => resourceKey({ plural, name });
const inRegion = (plural: NamespacedPlural, region: string | undefined, name: string): string =>
  resourceKey({ plural, namespace: openstackNamespace(region), name });
const endpoint = (host: string, region?: string): string =>
  inRegion('workloadendpoints', region, workloadEndpointName({ host, orchestrator: 'openstack', workload: 'vm', endpoint: 'port' }));
const status = (host: string, region?: string): string =>
  endpointStatusKey(region, { host, orchestrator: 'openstack', workload: 'openstack/vm', endpoint: 'port' });

/** Who may write and who may read what. Everybody else is refused. */
const rows: readonly (readonly [what: string, key: string, writers: readonly User[], readers: readonly User[]])[] = [
  ['the Node of host-1', named('nodes', 'host-1'), ['bird1', 'remover'], bgpReaders],
  ['the Node of a host whose name begins alike', named('nodes', 'host-10'), ['remover'], bgpReaders],
  ['the Node of a host of region r1', named('nodes', 'host-9'), ['bird9', 'remover'], bgpReaders],
  ['the Node of host-2', named('nodes', 'host-2'), ['bird2', 'remover'], bgpReaders],
  ['the Node of host-7', named('nodes', 'host-7'), ['remover'], bgpReaders],
  ['a BGPPeer', named('bgppeers', 'x'), [], bgpReaders],
  ['BGPConfiguration', named('bgpconfigurations', 'default'), [], bgpReaders],
  ['a BGPFilter', named('bgpfilters', 'x'), [], bgpReaders],
  ['an IPPool', named('ippools', 'x'), [], bgpReaders],
  ['a LiveMigration', inRegion('livemigrations', undefined, 'x'), ['driver'], bgpReaders],
  ['a LiveMigration of region r1', inRegion('livemigrations', 'r1', 'x'), ['driver9'], bgpReaders],
  ['an endpoint of host-1', endpoint('host-1'), ['driver'], [...policyReaders, 'dhcp1', 'bird1']],
  ['an endpoint of host-2', endpoint('host-2'), ['driver'], [...policyReaders, 'dhcp2', 'bird2']],
  ['an endpoint of host-7', endpoint('host-7'), ['driver'], [...policyReaders, 'remover']],
  ['an endpoint of a host whose name begins alike', endpoint('host-10'), ['driver'], policyReaders],
  ['an endpoint of host-1 in region r1', endpoint('host-1', 'r1'), ['driver9'], policyReaders],
  ['an endpoint of host-9 in region r1', endpoint('host-9', 'r1'), ['driver9'], [...policyReaders, 'dhcp9', 'bird9']],
  ['a security group', inRegion('networkpolicies', undefined, 'ossg.default.1'), ['driver'], policyReaders],
  ['a security group of region r1', inRegion('networkpolicies', 'r1', 'ossg.default.1'), ['driver9'], policyReaders],
  ['an address group', inRegion('networksets', undefined, 'osag.1'), ['driver'], policyReaders],
  ['an address group of region r1', inRegion('networksets', 'r1', 'osag.1'), ['driver9'], policyReaders],
  ["an operator's policy", named('globalnetworkpolicies', 'x'), [], policyReaders],
  ["an operator's network set", named('globalnetworksets', 'x'), [], policyReaders],
  ['a tier', named('tiers', 'x'), [], policyReaders],
  ['a profile', named('profiles', 'x'), [], policyReaders],
  ['a HostEndpoint', named('hostendpoints', 'x'), [], policyReaders],
  ['FelixConfiguration default', named('felixconfigurations', 'default'), drivers, policyReaders],
  ['a FelixConfiguration of a host', named('felixconfigurations', 'node.host-1'), [], policyReaders],
  ['ClusterInformation', named('clusterinformations', 'default'), drivers, policyReaders],
  ['the sign of life of host-1', felixStatusKey(undefined, 'host-1'), ['felix1'], ['felix1', 'driver', 'remover']],
  ['its last report', felixLastStatusKey(undefined, 'host-1'), ['felix1'], ['felix1', 'driver', 'remover']],
  ["an endpoint's status on host-1", status('host-1'), ['felix1'], ['felix1', 'driver', 'remover']],
  ["a host endpoint's status on host-1", hostEndpointStatusKey('host-1', 'eth0'), ['felix1'], ['felix1']],
  ['the sign of life of host-2', felixStatusKey(undefined, 'host-2'), ['felix2'], ['felix2', 'driver', 'remover']],
  ["a host endpoint's status on host-2", hostEndpointStatusKey('host-2', 'eth0'), ['felix2'], ['felix2']],
  ["a host endpoint's status on host-9", hostEndpointStatusKey('host-9', 'eth0'), ['felix9'], ['felix9']],
  ['the status of a host whose name begins alike', felixStatusKey(undefined, 'host-10'), [], ['driver', 'remover']],
  ['a status of host-1 in region r1', status('host-1', 'r1'), [], ['driver9']],
  ['a status of host-9 in region r1', status('host-9', 'r1'), ['felix9'], ['felix9', 'driver9']],
  ['the heartbeat of the DHCP agent on host-1', agentStatusKey(undefined, 'host-1', 'calico-dhcp-agent'), ['dhcp1'], ['driver']],
  ['the heartbeat of the BIRD agent on host-1', agentStatusKey(undefined, 'host-1', 'calico-bird-agent'), ['bird1'], ['driver']],
  ['the heartbeat of the DHCP agent on host-2', agentStatusKey(undefined, 'host-2', 'calico-dhcp-agent'), ['dhcp2'], ['driver']],
  ['the heartbeat of the BIRD agent on host-2', agentStatusKey(undefined, 'host-2', 'calico-bird-agent'), ['bird2'], ['driver']],
  ['the heartbeat of the BIRD agent on host-7', agentStatusKey(undefined, 'host-7', 'calico-bird-agent'), ['remover'], ['driver']],
  ['the heartbeat of the DHCP agent on host-9 in region r1', agentStatusKey('r1', 'host-9', 'calico-dhcp-agent'), ['dhcp9'], ['driver9']],
  ['the heartbeat of the BIRD agent on host-9 in region r1', agentStatusKey('r1', 'host-9', 'calico-bird-agent'), ['bird9'], ['driver9']],
  ['a subnet', subnetKey(undefined, 'net'), ['driver'], ['driver', 'dhcp1', 'dhcp2']],
  ['a subnet of region r1', subnetKey('r1', 'net'), ['driver9'], ['driver9', 'dhcp9']],
  ['the election', electionKey(undefined), ['driver'], ['driver']],
  ['the election of region r1', electionKey('r1'), ['driver9'], ['driver9']],
  ["the election of upstream's drivers", legacyElectionKey, drivers, drivers],
  ["the compaction's turn", compactionTriggerKey, drivers, drivers],
  ["the compaction's last revision", compactionLastKey, drivers, drivers],
  ['anything else of Calico', '/calico/ipam/v2/x', [], []],
  ["somebody else's key", '/elsewhere', [], []],
];

let directory: string;
let server: EtcdProcess;
const clients = new Map<User, Etcd>();
const as = (user: User): Etcd => clients.get(user)!;
const codeOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(() => 'done').catch((error: unknown) => (error instanceof EtcdError ? error.code : error));
/** Those who are not refused. */
async function allowed(call: (etcd: Etcd) => Promise<unknown>): Promise<User[]> {
  const answers = await Promise.all(all.map(async (user) => [user, await codeOf(call(as(user)))] as const));
  for (const [user, answer] of answers) expect([user, answer]).toEqual([user, expect.stringMatching(/^done$|^ETCD_DENIED$/)]);
  return answers.filter(([, answer]) => answer === 'done').map(([user]) => user);
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'etcd-roles-'));
  server = await startEtcd({ rootPassword: 'root' });
  const administrator = ['--endpoints', server.endpoint, '--user', 'root', '--password-file', passwordFile(directory, 'root')];
  for (const run of runs) await calicoOpenstack('etcd-roles', '--apply', ...administrator, '--passwords', directory, ...run);
  for (const [user, username] of Object.entries(users)) {
    clients.set(user as User, connectEtcd({ endpoints: [server.endpoint], username, password: passwordIn(join(directory, username)) }));
  }
});
afterAll(async () => {
  for (const client of clients.values()) client.close();
  await server?.stop();
  rmSync(directory, { recursive: true, force: true });
});

describe.each(rows)('%s', (_, key, writers, readers) => {
  test('is written by whom it is to be written by, and by nobody else', async () => {
    expect(new Set(await allowed((etcd) => etcd.transact([], [{ put: key, value: '' }])))).toEqual(new Set(writers));
  });
  test('is read by whom it is to be read by, and by nobody else', async () => {
    expect(new Set(await allowed((etcd) => etcd.get(key)))).toEqual(new Set(readers));
  });
});

test('each right of the table is one that a row above gives a reason for', async () => {
  const etcd = connectEtcdUsers({ endpoints: [server.endpoint], username: 'root', password: 'root' });
  for (const user of all) {
    for (const { access, from, to } of await etcd.permissionsOf(users[user])) {
      const reason = rows.find(
        ([, key, writers, readers]) =>
          (to === '' ? key === from : key >= from && key < to) &&
          (access === 'read' || writers.includes(user)) &&
          (access === 'write' || readers.includes(user)),
      );
      expect(reason, `${users[user]} may ${access} ${from}`).toBeDefined();
    }
  }
  etcd.close();
});

describe('with its least rights', () => {
  test.each<[User, readonly string[], boolean]>([
    ['felix1', [resourceRoot], false],
    ['dhcp1', [hostEndpointsPrefix(undefined, workloadEndpointNamePrefix('host-1')), subnetPrefix(undefined)], false],
    ['bird1', followedPrefixes(undefined, 'host-1'), true],
    ['driver', [felixStatusRoot(undefined)], false],
  ])('%s follows what it is to follow', async (user, prefixes, apart) => {
    const told = recorder();
    const follower = as(user).follow(prefixes, told, { apart });
    await told.until(({ states }) => states.at(-1) === 'following' || states.at(-1) === 'lost');
    expect(told.states).toEqual(['reading', 'following']);
    follower.close();
  });

  test.each<[User, string]>([
    ['felix1', felixStatusKey(undefined, 'host-1')],
    ['driver', electionKey(undefined)],
  ])('%s writes under a lease', async (user, key) => {
    const lease = await as(user).grantLease(60);
    await as(user).transact([], [{ put: key, value: '', lease: lease.id }]);
    expect(await lease.keepAlive()).toBe(true);
    await lease.revoke();
  });

  test('a driver is elected', async () => {
    for (const key of [electionKey(undefined), legacyElectionKey]) await server.etcdctl('del', key); // the rows above left them to another user
    await new Promise<void>((resolve, reject) => {
      const election = elect(as('driver'), {
        keys: [electionKey(undefined), legacyElectionKey],
        value: 'here',
        onElected: () => void election.close().then(resolve),
        onLost: () => {},
        onError: reject,
      });
    });
  });

  test.each<[User, string]>([
    ['felix1', `${felixStatusRoot(undefined)}host-2/`],
    ['felix1', '/calico/'],
    ['dhcp1', hostEndpointsPrefix(undefined, workloadEndpointNamePrefix('host-2'))],
    ['bird1', felixStatusRoot(undefined)],
    ['bird1', resourceRoot],
  ])('%s is refused to read the range %s', async (user, prefix) => {
    expect(await codeOf(as(user).range(prefix))).toBe('ETCD_DENIED');
  });
});
