// Sends packets all the time while something changes again and again, with an agent that is killed at random. What is allowed before and after a change passes throughout, and what neither
// state allows never passes.
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Plugged, TestHost } from './testing/host.ts';
import { endpointNumber, felixConfiguration, type KeyedValue, resource, securityGroup, type TestEndpoint, workloadEndpoint } from './testing/resources.ts';

const udp = (destinationPort: number) => ({ protocol: 17, destinationPort });
const allow = (...ports: number[]) => ({ action: 'Allow', protocol: 'UDP', destination: { ports } });
const globalPolicy = (name: string, spec: object) => resource('GlobalNetworkPolicy', `globalnetworkpolicies/${name}`, spec);
const key = ({ key: found }: KeyedValue): string => found;

type Step = { readonly put: readonly KeyedValue[]; readonly delete?: readonly string[] };
type Groups = (groups: readonly string[], more?: Partial<TestEndpoint>) => KeyedValue[];

/** Makes the change number `turn`. Before and after each change, UDP 7000 is allowed from one endpoint to the other, and nothing else is. */
const transitions: Readonly<Record<string, (both: Groups, turn: number) => Step>> = {
  'a policy gives way to one of another name': (both, turn) => {
    const [next, before] = turn % 2 ? ['odd', 'even'] : ['even', 'odd'];
    return { put: [securityGroup(next, [allow(7000)]), ...both([next])], delete: [key(securityGroup(before, []))] };
  },
  'a policy gets and loses rules': (both, turn) => ({ put: [securityGroup('p', [allow(7000, 8000 + (turn % 7))]), ...both(['p'])] }),
  'a set changes its kind': (both, turn) => ({
    put: [
      securityGroup('p', [{ ...allow(7000), source: { selector: "role == 'x'" } }]),
      resource('NetworkSet', 'networksets/openstack/n', { nets: turn % 2 ? ['10.64.0.0/15'] : ['10.99.0.1/32'] }, { labels: { role: 'x' } }),
      ...both(['p'], { labels: { role: 'x' } }),
    ],
  }),
  'a set that is excluded changes its kind': (both, turn) => ({
    put: [
      globalPolicy('excluded', { selector: 'all()', types: ['Ingress'], ingress: [{ ...allow(7000, 7999), source: { notSelector: "role == 'never'" } }] }),
      globalPolicy('first', {
        order: 1,
        selector: 'all()',
        types: ['Ingress'],
        ingress: [{ action: 'Deny', protocol: 'UDP', destination: { ports: [7999] } }],
      }),
      resource('GlobalNetworkSet', 'globalnetworksets/n', { nets: turn % 2 ? ['192.0.2.0/24'] : ['192.0.2.1/32'] }, { labels: { role: 'never' } }),
      securityGroup('p', []),
      ...both(['p']),
    ],
  }),
  'a tier comes and goes': (both, turn) => {
    const tier = resource('Tier', 'tiers/t1', { order: 5 });
    const passing = globalPolicy('t1.a', { tier: 't1', selector: 'all()', ingress: [{ action: 'Pass' }], egress: [{ action: 'Pass' }] });
    const put = [securityGroup('p', [allow(7000)]), ...both(['p'])];
    return turn % 2 ? { put: [...put, tier, passing] } : { put, delete: [tier.key, passing.key] };
  },
  'a denial changes its name': (both, turn) => {
    const denial = (name: string) =>
      globalPolicy(name, { order: 1, selector: 'all()', types: ['Ingress'], ingress: [{ action: 'Deny', protocol: 'UDP', destination: { ports: [7999] } }] });
    const [next, before] = turn % 2 ? ['odd', 'even'] : ['even', 'odd'];
    return { put: [denial(next), securityGroup('p', [allow(7000, 7999)]), ...both(['p'])], delete: [denial(before).key] };
  },
  'the options change': (both, turn) => ({
    put: [
      felixConfiguration({ logPrefix: `x${turn}`, nftablesMarkMask: turn % 2 ? 0xffff0000 : 0x0000ff00 }),
      securityGroup('p', [allow(7000)]),
      ...both(['p']),
    ],
  }),
};

let host: TestHost;
let [one, two]: [Plugged, Plugged] = [] as never;
beforeEach(async () => {
  host = await TestHost.open();
  one = await host.plug(endpointNumber(1, []));
  two = await host.plug(endpointNumber(2, []));
});
afterEach(() => host.close());

const cases = Object.keys(transitions).flatMap((name) => [false, true].map((killed) => [name, killed] as const));

test.each(cases)('%s (agent killed: %s)', async (name, killed) => {
  const both: Groups = (groups, more = {}) => [one, two].map((each) => workloadEndpoint({ ...each, groups, ...more }));
  await host.put(...transitions[name]!(both, 0).put);
  host.startAgent();
  await host.untilPasses(one, two, udp(7000));
  await host.untilPasses(one, two, udp(7000), true, 6);

  const [allowed, denied]: [number[], number[]] = [[], []];
  const stop = new AbortController();
  async function send(): Promise<void> {
    for (let burst = 0; !stop.signal.aborted; burst += 1) {
      allowed.push(host.send(one, two, udp(7000)), host.send(one, two, udp(7000), 6));
      denied.push(host.send(one, two, udp(7999)), host.send(one, two, { ...udp(7000), source: '10.65.0.99' }));
      host.readArrivals();
      await (burst % 8 === 0 ? pause(1) : new Promise(setImmediate));
    }
  }
  async function change(): Promise<void> {
    for (let turn = 1; !stop.signal.aborted; turn += 1) {
      const { put, delete: gone = [] } = transitions[name]!(both, turn);
      await host.etcd.transact([], [...put.map(({ key: put, value }) => ({ put, value })), ...gone.map((each) => ({ delete: each }))]);
      await pause(Math.random() * 60);
    }
  }
  async function kill(): Promise<void> {
    while (killed && !stop.signal.aborted) {
      await pause(500 + Math.random() * 700);
      await host.stopAgent('SIGKILL');
      host.startAgent();
    }
  }
  const working = [send(), change(), kill()];
  await pause(killed ? 15_000 : 8000);
  stop.abort();
  await Promise.all(working);
  await pause(300);
  host.readArrivals();

  const arrived = (probe: number): boolean => host.arrivalOf(probe)?.interfaceIndex === two.interfaceIndex;
  expect(allowed.length).toBeGreaterThan(1000);
  expect({ lost: allowed.filter((probe) => !arrived(probe)).length, passed: denied.filter(arrived).length }).toEqual({ lost: 0, passed: 0 });
});
