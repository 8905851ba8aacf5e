// Checks the table of rights in datamodel's rights.ts on a real etcd with users: with these rights, all reads and writes of each part succeed, and others are refused.
import { followedPrefixes } from '@calico-openstack/bird-agent/store';
import {
  birdAgentRights,
  dhcpAgentRights,
  electionKey,
  endpointStatusKey,
  felixLastStatusKey,
  felixRights,
  felixStatusKey,
  felixStatusRoot,
  hostEndpointStatusKey,
  hostEndpointsPrefix,
  hostRemovalRights,
  legacyElectionKey,
  neutronDriverRights,
  type Right,
  resourceKey,
  resourcePrefix,
  resourceRoot,
  subnetKey,
  subnetPrefix,
  workloadEndpointNamePrefix,
} from '@calico-openstack/datamodel';
import { connectEtcd, type Etcd, EtcdError, elect } from '@calico-openstack/etcd';
import { type EtcdProcess, startEtcd } from '@calico-openstack/etcd/testing/etcd-process';
import { recorder } from '@calico-openstack/etcd/testing/recorder';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const users = {
  felix: felixRights(undefined, 'host-1'),
  dhcp: dhcpAgentRights(undefined, 'host-1'),
  bird: birdAgentRights(undefined, 'host-1'),
  remover: [...birdAgentRights(undefined, 'host-1'), ...hostRemovalRights(undefined)],
  driver: neutronDriverRights(undefined),
} satisfies Record<string, readonly Right[]>;
type User = keyof typeof users;

const endpoint = (host: string): string => `${hostEndpointsPrefix(undefined, workloadEndpointNamePrefix(host))}vm-port`;
const status = (host: string): string => endpointStatusKey(undefined, { host, orchestrator: 'openstack', workload: 'openstack/vm', endpoint: 'port' });
const node = (host: string): string => resourceKey({ plural: 'nodes', name: host });
const policy = resourceKey({ plural: 'networkpolicies', namespace: 'openstack', name: 'ossg.default.1' });
const password = 'correct horse';

let server: EtcdProcess;
const clients = new Map<User, Etcd>();
const as = (user: User): Etcd => clients.get(user)!;
const codeOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(() => 'done').catch((error: unknown) => (error instanceof EtcdError ? error.code : error));
const write = (user: User, key: string): Promise<unknown> => codeOf(as(user).transact([], [{ put: key, value: user }]));
const read = (user: User, prefix: string): Promise<unknown> => codeOf(as(user).range(prefix));

beforeAll(async () => {
  server = await startEtcd({ rootPassword: 'root' });
  for (const [user, rights] of Object.entries(users)) {
    await server.addUser(user, password, rights);
    clients.set(user as User, connectEtcd({ endpoints: [server.endpoint], username: user, password }));
  }
});
afterAll(async () => {
  for (const client of clients.values()) client.close();
  await server?.stop();
});

describe('with its least rights', () => {
  test.each<[User, readonly string[], boolean]>([
    ['felix', [resourceRoot], false],
    ['dhcp', [hostEndpointsPrefix(undefined, workloadEndpointNamePrefix('host-1')), subnetPrefix(undefined)], false],
    ['bird', followedPrefixes, true],
    ['driver', [felixStatusRoot(undefined)], false],
  ])('%s follows what it has to follow', async (user, prefixes, apart) => {
    const told = recorder();
    const follower = as(user).follow(prefixes, told, { apart });
    await told.until(({ states }) => states.at(-1) === 'following' || states.at(-1) === 'lost');
    expect(told.states).toEqual(['reading', 'following']);
    follower.close();
  });

  test.each<[User, readonly string[]]>([
    ['felix', [felixStatusKey(undefined, 'host-1'), felixLastStatusKey(undefined, 'host-1'), status('host-1'), hostEndpointStatusKey('host-1', 'eth0')]],
    ['bird', [node('host-1')]],
    ['remover', [node('host-2')]],
    ['driver', [endpoint('host-2'), policy, subnetKey(undefined, 'net'), resourceKey({ plural: 'felixconfigurations', name: 'default' })]],
  ])('%s writes what it has to write, also under a lease', async (user, keys) => {
    for (const key of keys) expect(await write(user, key), key).toBe('done');
    const lease = await as(user).grantLease(60);
    await as(user).transact([], [{ put: keys[0]!, value: '', lease: lease.id }]);
    expect(await lease.keepAlive()).toBe(true);
    await lease.revoke();
  });

  test('the BIRD agent reads an endpoint that leaves its host', async () => {
    expect(await read('bird', endpoint('host-1'))).toBe('done');
  });

  test('a driver is elected', async () => {
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
});

describe('beyond its least rights', () => {
  test.each<[User, string, string]>([
    ['felix', 'the status of another host', felixStatusKey(undefined, 'host-2')],
    ['felix', 'the status of a host whose name begins like its own', felixStatusKey(undefined, 'host-10')],
    ['felix', "another host's endpoint's status", status('host-2')],
    ['felix', 'an endpoint', endpoint('host-1')],
    ['felix', 'a policy', policy],
    ['felix', 'a Node', node('host-1')],
    ['dhcp', 'an endpoint of its own host', endpoint('host-1')],
    ['dhcp', 'a subnet', subnetKey(undefined, 'net')],
    ['bird', 'the Node of another host', node('host-2')],
    ['bird', 'the Node of a host whose name begins like its own', node('host-10')],
    ['bird', 'a BGPPeer', resourceKey({ plural: 'bgppeers', name: 'x' })],
    ['remover', "a Felix's status", felixStatusKey(undefined, 'host-1')],
    ['remover', 'a BGPPeer', resourceKey({ plural: 'bgppeers', name: 'x' })],
    ['driver', "a Felix's status", felixStatusKey(undefined, 'host-1')],
    ['driver', "an operator's policy", resourceKey({ plural: 'globalnetworkpolicies', name: 'x' })],
    ['driver', 'a Node', node('host-1')],
  ])('%s is refused to write %s', async (user, _, key) => {
    expect(await write(user, key)).toBe('ETCD_DENIED');
  });

  test.each<[User, string, string]>([
    ['felix', 'everything of Calico', '/calico/'],
    ['felix', "another host's statuses", `${felixStatusRoot(undefined)}host-2/`],
    ['dhcp', "another host's endpoints", hostEndpointsPrefix(undefined, workloadEndpointNamePrefix('host-2'))],
    ['dhcp', 'policies', resourcePrefix('networkpolicies')],
    ['bird', 'policies', resourcePrefix('networkpolicies')],
    ['bird', "Felix's reports", felixStatusRoot(undefined)],
    ['remover', 'policies', resourcePrefix('networkpolicies')],
    ['bird', "another host's endpoints", hostEndpointsPrefix(undefined, workloadEndpointNamePrefix('host-2'))],
  ])('%s is refused to read %s', async (user, _, prefix) => {
    expect(await read(user, prefix)).toBe('ETCD_DENIED');
  });
});
