import { addressBytes, type Cidr, parseAddress } from '@calico-openstack/addresses';
import { type IpPool, noChange } from '@calico-openstack/datamodel';
import type { Field } from '@calico-openstack/kernel/nftables/objects';
import { fakeTable } from '@calico-openstack/kernel/nftables/table.fake';
import { expect, test } from 'vitest';
import { applyEdits } from './edits.ts';
import { defaultRenderOptions, type RenderOptions } from './options.ts';
import { Renderer } from './renderer.ts';
import { ifnameBytes } from './statements.ts';

function host(options: Partial<RenderOptions> = {}) {
  const { table, evaluate } = fakeTable('inet', 'calico-felix');
  const arp = fakeTable('arp', 'calico-felix').table;
  const renderer = new Renderer({ ...defaultRenderOptions, ...options });
  const edit = (edits: Parameters<typeof applyEdits>[1]) => {
    expect(applyEdits({ inet: table, arp }, edits)).toEqual([]);
    table.apply();
  };
  edit(renderer.start());
  return {
    /** Pools by prefix: `true` with natOutgoing, `undefined` when one is gone. */
    say: (pools: Readonly<Record<string, boolean | undefined>>) =>
      edit(
        renderer.render({
          ...noChange,
          pools: new Map(
            Object.entries(pools).map(([cidr, natOutgoing]): [string, IpPool | undefined] => [
              cidr,
              natOutgoing === undefined ? undefined : { cidr: cidr as Cidr, natOutgoing },
            ]),
          ),
        }).tables,
      ),
    /** Addresses of Nodes: `undefined` when one is gone. */
    sayNodes: (nodes: Readonly<Record<string, true | undefined>>) =>
      edit(renderer.render({ ...noChange, nodes: new Map(Object.entries(nodes) as [Cidr, true | undefined][]) }).tables),
    excepted: () =>
      ['203.0.113.1', '203.0.113.2', '2001:db8::1'].filter((address) =>
        table.rules.find(`pools-hosts${address.includes(':') ? 6 : 4}`, addressBytes(parseAddress(address)!)),
      ).length,
    setOptions: (changed: Partial<RenderOptions>) => edit(renderer.setOptions({ ...defaultRenderOptions, ...changed })),
    rules: () => table.rules.chain('nat-postrouting')!.rules.length,
    translated(source: string, destination: string, { from = 'tap1', to = 'eth0', protocol = 17 } = {}) {
      const v6 = source.includes(':');
      const fields = new Map<Field, Uint8Array>([
        ['meta iifname', ifnameBytes(from)],
        ['meta oifname', ifnameBytes(to)],
        ['meta l4proto', Uint8Array.of(protocol)],
        ['meta nfproto', Uint8Array.of(v6 ? 10 : 2)],
        [v6 ? 'ip6 saddr' : 'ip saddr', addressBytes(parseAddress(source)!)],
        [v6 ? 'ip6 daddr' : 'ip daddr', addressBytes(parseAddress(destination)!)],
      ]);
      return evaluate('postrouting', fields).translated;
    },
  };
}

test('only from a pool with natOutgoing, out of all pools, and from a workload; without such a pool nothing is asked', () => {
  const { say, translated, rules } = host();
  const before = rules();
  say({ '10.0.0.0/16': false });
  expect(rules()).toBe(before);
  say({ '10.1.0.0/16': true, 'fd00::/64': true });
  expect(translated('10.1.0.1', '192.0.2.1')).toEqual({ kind: 'masquerade' });
  expect(translated('fd00::1', '2001:db8::1')).toEqual({ kind: 'masquerade' });
  expect(translated('10.1.0.1', '10.0.0.1')).toBeUndefined();
  expect(translated('fd00::1', 'fd00::2')).toBeUndefined();
  expect(translated('10.0.0.1', '192.0.2.1')).toBeUndefined();
  expect(translated('10.1.0.1', '192.0.2.1', { from: 'eth0' })).toBeUndefined();
  say({ '10.1.0.0/16': false, 'fd00::/64': undefined });
  expect(translated('10.1.0.1', '192.0.2.1')).toBeUndefined();
  expect(rules()).toBe(before);
});

test('a pool within another counts with it, and by itself when that goes', () => {
  const { say, translated } = host();
  say({ '10.0.0.0/8': true, '10.1.0.0/16': true });
  say({ '10.0.0.0/8': undefined });
  expect(translated('10.1.0.1', '192.0.2.1')).toEqual({ kind: 'masquerade' });
  expect(translated('10.2.0.1', '192.0.2.1')).toBeUndefined();
  expect(translated('10.1.0.1', '10.2.0.1')).toEqual({ kind: 'masquerade' });
  say({ '10.0.0.0/8': false });
  expect(translated('10.1.0.1', '10.2.0.1')).toBeUndefined();
});

test('an address is for its family; ports are for TCP and UDP; both are taken live', () => {
  const { say, translated, setOptions } = host();
  say({ '10.1.0.0/16': true, 'fd00::/64': true });
  setOptions({ natOutgoing: { address: parseAddress('203.0.113.7')!, ports: { first: 1024, last: 2047 } } });
  const address = addressBytes('203.0.113.7');
  expect(translated('10.1.0.1', '192.0.2.1')).toEqual({ kind: 'snat', address, port: 1024 });
  expect(translated('10.1.0.1', '192.0.2.1', { protocol: 1 })).toEqual({ kind: 'snat', address });
  expect(translated('fd00::1', '2001:db8::1')).toEqual({ kind: 'masquerade' });
  setOptions({});
  expect(translated('10.1.0.1', '192.0.2.1')).toEqual({ kind: 'masquerade' });
});

test('only what leaves by an interface of this name, or of one that begins so', () => {
  const { say, translated, setOptions } = host({ natOutgoing: { leavesBy: 'eth0' } });
  say({ '10.1.0.0/16': true });
  const names = ['eth0', 'eth0.7', 'eth1', 'bond0'];
  const byNames = () => names.filter((to) => translated('10.1.0.1', '192.0.2.1', { to }) !== undefined);
  expect(byNames()).toEqual(['eth0']);
  setOptions({ natOutgoing: { leavesBy: 'eth+' } });
  expect(byNames()).toEqual(['eth0', 'eth0.7', 'eth1']);
  setOptions({ natOutgoing: { leavesBy: '+' } });
  expect(byNames()).toEqual(names);
});

test('to addresses of Nodes nothing is translated where they are excepted; nobody else holds them', () => {
  const { say, sayNodes, translated, setOptions, excepted } = host();
  const toHosts = () => ['203.0.113.1', '203.0.113.2'].map((to) => translated('10.1.0.1', to) !== undefined);
  sayNodes({ '203.0.113.1/32': true, '203.0.113.2/32': true, '2001:db8::1/128': true });
  say({ '10.1.0.0/16': true, 'fd00::/64': true });
  expect([...toHosts(), excepted()]).toEqual([true, true, 0]);
  setOptions({ natOutgoing: { exceptHosts: true } });
  expect([...toHosts(), excepted()]).toEqual([false, false, 3]);
  expect(translated('fd00::1', '2001:db8::1')).toBeUndefined();
  expect(translated('10.1.0.1', '192.0.2.1')).toEqual({ kind: 'masquerade' });
  sayNodes({ '203.0.113.2/32': undefined });
  expect(toHosts()).toEqual([false, true]);
  say({ '10.1.0.0/16': undefined, 'fd00::/64': undefined });
  expect(excepted()).toBe(0);
  say({ '10.1.0.0/16': true });
  expect([...toHosts(), excepted()]).toEqual([false, true, 2]);
  setOptions({});
  expect([...toHosts(), excepted()]).toEqual([true, true, 0]);
});
