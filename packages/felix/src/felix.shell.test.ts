// The agent's loop with an etcd, a kernel and a clock in memory: what it does, when, and in which order.
import { type OpenLog, recordingLog } from '@calico-openstack/agent';
import { fakeClock } from '@calico-openstack/agent/fake-clock';
import { endpointStatusKey } from '@calico-openstack/datamodel';
import { fakeEtcd } from '@calico-openstack/etcd/fake';
import { defaultRenderOptions } from '@calico-openstack/render';
import { afterEach, describe, expect, test } from 'vitest';
import { Felix } from './felix.ts';
import { createSettingsKeeper, localSources } from './settings.ts';
import type { Stamping } from './stamping.ts';
import { fakeHostKernel, leaveEarlierRules } from './testing/fake-kernel.ts';
import {
  clusterInformation,
  deviceId,
  endpointNumber,
  felixConfiguration,
  type KeyedValue,
  resource,
  securityGroup,
  tapOf,
  workloadEndpoint,
} from './testing/resources.ts';

const open = securityGroup('open', [{ action: 'Allow' }]);
const [one, two] = [endpointNumber(1), endpointNumber(2)];
const settings = {
  FELIX_FELIXHOSTNAME: 'host0',
  FELIX_BIRDCONFIGFILE: 'none',
  FELIX_ENDPOINTREPORTINGENABLED: 'true',
  FELIX_ETCDENDPOINTS: 'http://127.0.0.1:2379',
};

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

function world(environment: Readonly<Record<string, string>> = {}, kernel = fakeHostKernel(), etcd = fakeEtcd()) {
  const clock = fakeClock();
  const { log, entries } = recordingLog();
  const output: OpenLog = { log, configure: () => undefined, reopen: () => undefined };
  const stamping: Stamping & { unstamped: 'judge' | 'pass'; told: string[] } = {
    unstamped: 'judge',
    told: [],
    get options() {
      return { stamps: defaultRenderOptions.stamps, unstamped: this.unstamped };
    },
    onChange: () => undefined,
    want: ({ egress }) => void stamping.told.push(`want ${egress}`),
    rulesInForce: () => void stamping.told.push('in force'),
    rulesGone: () => void stamping.told.push('gone'),
    close: () => undefined,
  };
  /** Another Felix, whose rules police the host while this says so. */
  const another = {
    polices: false,
    told: [] as string[],
    onGone: (): void => undefined,
  };
  const other = etcd.connect();
  const put = async (...values: readonly KeyedValue[]): Promise<void> => {
    await other.transact(
      [],
      values.map(({ key, value }) => ({ put: key, value })),
    );
    await clock.pass(0);
  };
  return {
    ...kernel,
    etcd,
    clock,
    stamping,
    another,
    put,
    async remove({ key }: KeyedValue) {
      await other.transact([], [{ delete: key }]);
      await clock.pass(0);
    },
    said: () => entries.map(({ message }) => message),
    statusOf: (endpoint: typeof one) =>
      etcd.contents()[
        endpointStatusKey(undefined, { host: 'host0', orchestrator: 'openstack', workload: `openstack/${deviceId(endpoint)}`, endpoint: endpoint.id })
      ],
    plug: (endpoint: typeof one) => kernel.links.kernel.add(tapOf(endpoint), { up: true, running: true, mac: 'fe:16:3e:00:00:01' }),
    async start() {
      const felix = new Felix({
        keeper: createSettingsKeeper(localSources([], { ...settings, ...environment })),
        kernel: kernel.kernel,
        stamping,
        another: {
          policedAtStart: another.polices,
          polices: () => another.polices,
          takeOver({ onGone }) {
            another.onGone = onGone;
            return {
              rulesInForce: () => void another.told.push('in force'),
              lookAgain: () => void another.told.push('look again'),
              close: () => Promise.resolve(),
            };
          },
        },
        etcd: etcd.connect(),
        output,
        clock,
      });
      closing.push(() => felix.close());
      await clock.pass(0);
      return felix;
    },
  };
}

/** A running agent, with endpoint 1 plugged and programmed. */
async function running(environment: Readonly<Record<string, string>> = {}) {
  const w = world(environment);
  w.plug(one);
  await w.put(clusterInformation(), open, workloadEndpoint(one));
  await w.start();
  w.order.length = 0;
  return w;
}
const route = (endpoint: typeof one, index = 0): string => `${endpoint.addresses[index]}/${index === 0 ? 32 : 128} ${tapOf(endpoint)}`;
const chainsOf = ({ inet }: Pick<ReturnType<typeof world>, 'inet'>): number => inet.content().chains.size;
const knownInterfaces = ({ inet }: Pick<ReturnType<typeof world>, 'inet'>): number => inet.content().sets.get('workload-interfaces')?.elements.length ?? 0;
const leavingOf = ({ inet }: Pick<ReturnType<typeof world>, 'inet'>): number => inet.content().sets.get('leaving-addresses4')?.elements.length ?? 0;

describe('until the datastore is known', () => {
  test('workload interfaces are closed, and nothing is routed or reported', async () => {
    const w = world();
    w.etcd.setDown(true);
    await w.start();
    expect([chainsOf(w) > 0, w.arp.content().chains.size > 0, knownInterfaces(w)]).toEqual([true, true, 0]);
    expect(w.said()).toContain('the host had no rules of Felix: packets from and to these interfaces are dropped until the datastore is known');
    expect(w.order).toEqual(['rules', 'rules']);
  });

  test('a datastore that arrives in pages is acted on when the last page is here, though it says on the first that it is ready', async () => {
    const w = world({}, fakeHostKernel(), fakeEtcd({ pageKeys: 1 }));
    w.plug(one);
    await w.put(clusterInformation(), open, workloadEndpoint(one));
    await w.start();
    await w.clock.pass(1000);
    const [read, programmed] = ['the datastore has been read', 'the kernel is as the datastore wants it'].map((message) => w.said().indexOf(message));
    expect(read).toBeGreaterThanOrEqual(0);
    expect(programmed).toBeGreaterThan(read!);
  });

  test('an empty datastore is reported as not ready', async () => {
    const w = world();
    await w.start();
    expect(w.said().join('\n')).toContain('the datastore is not ready (spec.datastoreReady of ClusterInformation default)');
  });

  test('rules of an earlier run stay as they are, and only the table that is missing is made', async () => {
    const w = world();
    leaveEarlierRules(w.inet, 'inet');
    w.order.length = 0;
    w.etcd.setDown(true);
    await w.start();
    expect([chainsOf(w), w.arp.content().chains.size > 0]).toEqual([1, true]);
    expect(w.order).toEqual(['rules']);
  });

  test('a table that somebody takes away is closed again at once', async () => {
    const w = world();
    w.etcd.setDown(true);
    await w.start();
    w.inet.commit([{ verb: 'delete table' }]);
    w.tellStrangers();
    await w.clock.pass(0);
    expect(chainsOf(w)).toBeGreaterThan(0);
    expect(w.said()).toContain('somebody else has removed the rules of Felix; they are installed again; find out which program did it');
  });

  test('nothing is closed while another Felix’s rules police the host, and it is closed when they go', async () => {
    const w = world();
    w.another.polices = true;
    w.etcd.setDown(true);
    await w.start();
    expect([w.order, chainsOf(w)]).toEqual([[], 0]);
    w.another.polices = false;
    w.another.onGone();
    await w.clock.pass(0);
    expect(chainsOf(w)).toBeGreaterThan(0);
  });

  test('another Felix’s rules stay, and go when ours are in force', async () => {
    const w = world();
    w.another.polices = true;
    w.plug(one);
    await w.put(open, workloadEndpoint(one));
    await w.start();
    expect(w.another.told).not.toContain('in force');
    await w.put(clusterInformation());
    expect(w.another.told).toContain('in force');
    expect([knownInterfaces(w), w.routed().length]).toEqual([1, 2]);
  });

  test('and while it says that it is not ready, the kernel keeps what it holds', async () => {
    const w = world();
    w.plug(one);
    await w.put(clusterInformation({ datastoreReady: false }), open, workloadEndpoint(one));
    await w.start();
    await w.clock.pass(3_600_000);
    expect([knownInterfaces(w), w.routed()]).toEqual([0, []]);
    await w.put(clusterInformation());
    expect([knownInterfaces(w), w.routed()]).toEqual([1, [route(one), route(one, 1)].sort()]);
  });
});

describe('a step', () => {
  test('commits the rules, then neighbours, then routes, then says that all is as it should be', async () => {
    const w = world();
    w.plug(one);
    await w.put(clusterInformation(), open, workloadEndpoint(one));
    await w.start();
    const first = (what: string): number => w.order.indexOf(what);
    expect(w.order.lastIndexOf('rules')).toBeLessThan(first('neighbours'));
    expect(first('neighbours')).toBeLessThan(first('routes'));
    expect(first('routes')).toBeLessThan(first('forward'));
    expect(w.routed()).toEqual([route(one), route(one, 1)].sort());
    expect(w.statusOf(one)).toBe('{"status":"up"}');
    expect(w.said().filter((text) => text === 'the kernel is as the datastore wants it')).toHaveLength(1);
  });

  test('of which the rules are refused does nothing else, and is tried again after a pause, with all that came meanwhile', async () => {
    const w = await running();
    w.plug(two);
    w.inet.refuseAll('ENOMEM');
    await w.put(workloadEndpoint(two));
    expect([w.order, w.routed()]).toEqual([[], [route(one), route(one, 1)].sort()]);
    expect(w.said()).toContain(
      'cannot program the kernel; it keeps the former rules and routes, and the change is retried after a pause; see the error for the object that the kernel refuses',
    );
    expect(w.statusOf(two)).toBeUndefined();
    w.inet.refuseAll();
    await w.clock.pass(49);
    expect(w.order).toEqual([]);
    await w.clock.pass(51);
    expect(w.routed()).toContain(route(two));
    expect(w.statusOf(two)).toBe('{"status":"up"}');
  });

  test('in which a route is refused is tried again after a second', async () => {
    const w = await running();
    w.plug(two);
    const eth0 = w.links.kernel.add('eth0', { up: true, running: true });
    const theirs = { ...w.routes.routes[0]!, destination: `${two.addresses[0]}/32`, protocol: 4, deviceIndex: eth0 };
    w.routes.open().commit([{ verb: 'create', object: theirs }]);
    await w.put(workloadEndpoint(two));
    expect(w.statusOf(two)).toBe('{"status":"error"}');
    w.routes.open().commit([{ verb: 'delete', object: theirs }]);
    await w.clock.pass(999);
    expect(w.statusOf(two)).toBe('{"status":"error"}');
    await w.clock.pass(1);
    expect(w.statusOf(two)).toBe('{"status":"up"}');
  });
});

describe('what the kernel holds is compared with what is wanted', () => {
  const refresh = { FELIX_NFTABLESREFRESHINTERVAL: '60', FELIX_ROUTEREFRESHINTERVAL: '40' };

  test('at intervals: rules that somebody changed without a word are put right', async () => {
    const w = await running(refresh);
    w.inet.commit([{ verb: 'flush chain', chain: [...w.inet.content().chains.keys()][0]! }]);
    const before = w.inet.commits.length;
    await w.clock.pass(59_999);
    expect(w.inet.commits).toHaveLength(before);
    await w.clock.pass(1);
    expect(w.inet.commits.length).toBeGreaterThan(before);
    const settled = w.inet.commits.length;
    await w.clock.pass(60_000);
    expect(w.inet.commits).toHaveLength(settled);
  });

  test('at intervals: a route that went without a word comes back', async () => {
    const w = await running(refresh);
    w.routes.open().commit([{ verb: 'delete', object: w.routes.routes.find(({ family }) => family === 4)! }]);
    await w.clock.pass(39_999);
    expect(w.routed()).toEqual([route(one, 1)]);
    await w.clock.pass(1);
    expect(w.routed()).toContain(route(one));
  });

  test('at once: a route that the kernel tells is gone', async () => {
    const w = await running();
    w.routes.open().commit([{ verb: 'delete', object: w.routes.routes.find(({ family }) => family === 4)! }]);
    w.routes.deliver();
    await w.clock.pass(0);
    expect(w.routed()).toContain(route(one));
  });

  test('at once where others changed rules', async () => {
    const w = await running({ FELIX_NFTABLESREFRESHINTERVAL: '0' });
    const [chain = ''] = w.inet.content().chains.keys();
    const before = w.inet.content();
    w.inet.commit([{ verb: 'flush chain', chain }]);
    w.tellStrangers();
    await w.clock.pass(0);
    expect(w.inet.content()).toEqual(before);
  });

  test('not each time where others never stop changing rules that are not ours', async () => {
    const w = await running({ FELIX_NFTABLESREFRESHINTERVAL: '0' });
    const compared = async (): Promise<boolean> => {
      const before = w.reads();
      w.tellStrangers();
      await w.clock.pass(0);
      return w.reads() > before + 1; // one read checks whether the table exists
    };
    expect([await compared(), await compared(), await compared()]).toEqual([true, false, false]);
    const before = w.reads();
    await w.clock.pass(5000);
    expect(w.reads()).toBeGreaterThan(before + 1); // the pause is over
  });

  test('a table of ours that is gone is put back at once, with all that was in it', async () => {
    const w = await running();
    const before = w.inet.content();
    w.stamping.told.length = 0;
    w.inet.commit([{ verb: 'delete table' }]);
    w.tellStrangers();
    await w.clock.pass(0);
    expect(w.inet.content()).toEqual(before);
    expect(w.stamping.told[0]).toBe('gone');
  });

  test('a link that comes, goes or comes again is programmed when it does', async () => {
    const w = await running();
    await w.put(workloadEndpoint(two));
    expect(w.statusOf(two)).toBe('{"status":"down"}');
    const index = w.plug(two);
    await w.clock.pass(0);
    expect([w.statusOf(two), w.routed().includes(route(two))]).toEqual(['{"status":"up"}', true]);
    w.links.kernel.change(index, { up: false, running: false });
    await w.clock.pass(0);
    expect([w.statusOf(two), w.routed().includes(route(two))]).toEqual(['{"status":"down"}', false]);
    w.links.kernel.change(index, { up: true, running: true });
    await w.clock.pass(0);
    expect([w.statusOf(two), w.routed().includes(route(two))]).toEqual(['{"status":"up"}', true]);
  });
});

describe('an address that leaves', () => {
  test('is in our table until its connections are cut, and is not routed before', async () => {
    const w = await running();
    w.plug(two);
    w.cuttingFailures.push(new Error('EBUSY'));
    await w.remove(workloadEndpoint(one));
    expect([leavingOf(w), w.routed()]).toEqual([1, []]);
    await w.put(workloadEndpoint({ ...two, addresses: one.addresses }));
    expect(w.routed()).toEqual([]);
    expect(w.statusOf(two)).toBe('{"status":"error"}');
    await w.clock.pass(60_000);
    expect([leavingOf(w), w.routed()]).toEqual([0, [route({ ...two, addresses: one.addresses }), route({ ...two, addresses: one.addresses }, 1)].sort()]);
    expect(w.statusOf(two)).toBe('{"status":"up"}');
  });

  test('is cut by the next run where this one ended before', async () => {
    const w = await running();
    for (let count = 0; count < 100; count += 1) w.cuttingFailures.push(new Error('EBUSY'));
    await w.remove(workloadEndpoint(one));
    await closing.pop()!();
    w.cuttingFailures.length = 0;
    w.order.length = 0;
    await w.start();
    expect(w.order.filter((what) => what.startsWith('cut')).join()).toContain(one.addresses[0]!);
    expect(leavingOf(w)).toBe(0);
  });

  test('is cut once no route leads to it, not before', async () => {
    const w = await running();
    await w.remove(workloadEndpoint(one));
    const cut = w.order.findIndex((what) => what.startsWith('cut'));
    expect(w.order.indexOf('rules')).toBeLessThan(w.order.indexOf('routes'));
    expect(w.order.indexOf('routes')).toBeLessThan(cut);
  });
});

describe('connections are held to policy', () => {
  test('once rules are in force, all of them at first, and not while connections are still being stamped', async () => {
    const w = world();
    w.stamping.unstamped = 'pass';
    w.plug(one);
    await w.put(clusterInformation(), open, workloadEndpoint(one));
    await w.start();
    expect(w.looks).toEqual([]);
    w.stamping.unstamped = 'judge';
    await w.put(workloadEndpoint(two));
    expect(w.looks).toEqual(['all']);
  });

  test('of a change that the kernel refused, too, when it has taken it', async () => {
    const w = await running();
    w.looks.length = 0;
    w.inet.refuseAll('ENOMEM');
    await w.put(securityGroup('open', []));
    expect(w.looks).toEqual([]);
    w.inet.refuseAll();
    await w.clock.pass(100);
    expect(w.looks).toEqual([[...one.addresses].sort()]);
  });

  test('all of them, when a setting has changed that every rule may depend on', async () => {
    const w = await running();
    w.looks.length = 0;
    await w.put(felixConfiguration({ nftablesMarkMask: 0xff00 }));
    expect(w.looks).toEqual(['all']);
    expect(w.stamping.told).toContain(`want ${0x400}`);
  });

  test('and not where the operator wants them kept', async () => {
    const w = await running({ FELIX_ESTABLISHEDCONNECTIONS: 'Keep' });
    await w.put(securityGroup('open', []));
    expect(w.looks).toEqual([]);
  });
});

test('another region ends the agent, to be started again; until the datastore is ready it does not', async () => {
  const w = world();
  await w.put(clusterInformation({ datastoreReady: false }), felixConfiguration({ openstackRegion: 'one' }));
  const felix = await w.start();
  const ended: unknown[] = [];
  felix.failed.catch((error: unknown) => ended.push(error));
  await w.put(felixConfiguration({ openstackRegion: 'two' }));
  await w.put(clusterInformation());
  expect(ended).toEqual([]);
  await w.put(felixConfiguration({ openstackRegion: 'three' }));
  expect(ended).toMatchObject([{ code: 'RESTART_NEEDED' }]);
});

test('guests are listened for only while one is awaited by live migration; the first frame routes to it, and the metric is the normal one in time', async () => {
  const w = await running();
  const index = w.plug(two);
  const end = (hostname: string) => ({
    workloadEndpoint: { hostname, orchestratorID: 'openstack', workloadID: `openstack/${deviceId(two)}`, endpointID: two.id },
  });
  const move = resource('LiveMigration', 'livemigrations/openstack/m', { source: end('elsewhere'), target: end('host0') });
  const metrics = (): number[] => w.routes.routes.filter(({ deviceIndex }) => deviceIndex === index).map(({ metric }) => metric);
  expect(w.hearing.size).toBe(0);
  await w.put(move, workloadEndpoint(two));
  expect([w.hearing.size, metrics(), w.statusOf(two)]).toEqual([1, [], '{"status":"up"}']);
  for (const hear of w.hearing) hear(index + 100);
  await w.clock.pass(0);
  expect(metrics()).toEqual([]);
  for (const hear of w.hearing) hear(index);
  await w.clock.pass(0);
  expect([w.hearing.size, metrics()]).toEqual([0, [512, 512]]);
  await w.remove(move);
  await w.clock.pass(29_999);
  expect(metrics()).toEqual([512, 512]);
  await w.clock.pass(1);
  expect(metrics()).toEqual([1024, 1024]);
});

test('a thousand changes at once cost one commit, and a lone one among them waits for nothing else', async () => {
  const w = await running();
  const ofOthers = Array.from({ length: 1000 }, (_, number) =>
    workloadEndpoint({
      ...endpointNumber(3),
      host: 'host1',
      id: `1${String(number).padStart(7, '0')}-0000-4000-8000-000000000000`,
      addresses: [`10.${66 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`],
    }),
  );
  w.plug(two);
  const [first, second] = [ofOthers.slice(0, 500), ofOthers.slice(500)];
  await w.put(...first, workloadEndpoint(two), ...second);
  expect(w.routed()).toContain(route(two));
  expect(w.order.filter((step) => step === 'routes')).toHaveLength(1);
});
