// Chains as firewalld, ufw, Docker and operators write them, read from the kernel: which of them drop the packets of workloads, and which let them through.
import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type OtherChains, ordinaryPacket, type PassedHook, readOtherChains } from './other-chains.ts';
import { hostU32, linkNameBytes, type OrdinaryPacket } from './other-verdicts.ts';
import { makeNamespace, type TestNamespace } from './testing/namespace.ts';

let namespace: TestNamespace;
beforeAll(() => {
  namespace = makeNamespace();
});
afterAll(() => namespace.remove());

const [tap, uplink] = [linkNameBytes('tap0123'), linkNameBytes('eth0')];
const sent: OrdinaryPacket = { iifname: [tap], iif: [hostU32(7)], oifname: [uplink], oif: [hostU32(8)] };
const got: OrdinaryPacket = { iifname: [uplink], iif: [hostU32(8)], oifname: [tap], oif: [hostU32(7)] };

async function reading(rules: string, program: 'nft' | 'iptables-nft-restore' = 'nft'): Promise<OtherChains> {
  namespace.nft(['flush', 'ruleset']);
  if (program === 'nft') namespace.nft(['-f', '-'], rules);
  else execFileSync('ip', ['netns', 'exec', namespace.name, program], { input: rules });
  return readOtherChains((table) => table === 'ours', namespace.name);
}

/** The chains that drop what workloads send and get, as `chain` or nothing. */
const verdicts = (
  chains: OtherChains,
  family: 4 | 6 = 4,
  hooks: readonly PassedHook[] = ['prerouting', 'forward', 'postrouting'],
): readonly (string | undefined)[] => [sent, got].map((packet) => chains.dropping(hooks, family, ordinaryPacket(family, 6, packet))?.chain);

const forward = (policy: string, rules: string, more = ''): string =>
  `table inet theirs {\n${more}\n chain through {\n type filter hook forward priority 10; policy ${policy};\n${rules}\n }\n}`;

describe('drop all packets of workloads:', () => {
  test.each([
    ['a policy alone', forward('drop', '')],
    ['a policy behind rules for other interfaces', forward('drop', 'iifname "docker0" accept\n oifname { "docker0", "virbr0" } accept\n iif lo accept')],
    [
      'connections that exist, and ports',
      forward('drop', 'ct state vmap { established : accept, related : accept, invalid : drop }\n tcp dport { 22, 80 } accept'),
    ],
    [
      'a rejection at the end, as firewalld has it',
      forward(
        'accept',
        'ct state { established, related } accept\n ct status dnat accept\n iifname "lo" accept\n jump policies\n reject with icmpx admin-prohibited',
        ' chain policies {\n iifname "ens1" accept\n }',
      ),
    ],
    ['a chain that is gone to', forward('accept', 'goto rest', ' chain rest {\n meta l4proto icmp accept\n drop\n }')],
  ])('%s', async (_, rules) => expect(verdicts(await reading(rules))).toEqual(['through', 'through']));

  test('one direction alone', async () => {
    expect(verdicts(await reading(forward('drop', 'iifname "tap*" accept')))).toEqual([undefined, 'through']);
    expect(verdicts(await reading(forward('drop', 'oifname "tap*" accept')))).toEqual(['through', undefined]);
  });

  test('one IP version alone', async () => {
    const chains = await reading(`table ip6 theirs {\n chain through {\n type filter hook forward priority 0; policy drop;\n }\n}`);
    expect([verdicts(chains, 4), verdicts(chains, 6)]).toEqual([
      [undefined, undefined],
      ['through', 'through'],
    ]);
    expect(verdicts(await reading(forward('drop', 'meta nfproto ipv6 accept')), 6)).toEqual([undefined, undefined]);
  });

  test('iptables’ policy as Docker and ufw set it', async () => {
    const rules = [
      '-A FORWARD -j DOCKER-USER',
      '-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      '-A FORWARD -i docker0 ! -o docker0 -j ACCEPT',
      '-A FORWARD -p icmp -m icmp --icmp-type 8 -j ACCEPT',
      '-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    ];
    const saved = (...more: string[]): string =>
      `*filter\n:INPUT ACCEPT\n:FORWARD DROP\n:DOCKER-USER -\n${[...rules, ...more, '-A DOCKER-USER -j RETURN'].join('\n')}\nCOMMIT\n`;
    expect(verdicts(await reading(saved(), 'iptables-nft-restore'))).toEqual(['FORWARD', 'FORWARD']);
    const opened = saved('-A DOCKER-USER -i tap+ -j ACCEPT', '-A DOCKER-USER -o tap+ -j ACCEPT');
    expect(verdicts(await reading(opened, 'iptables-nft-restore'))).toEqual([undefined, undefined]);
  });
});

describe('let packets of workloads through, as far as can be known:', () => {
  test.each([
    ['no rule at all', ''],
    ['a chain that accepts', forward('accept', 'tcp dport 25 drop\n ip saddr 192.0.2.1 drop\n iifname "eth1" drop')],
    ['rules for the interfaces', forward('drop', 'iifname "tap*" accept\n oifname "tap*" accept')],
    ['a set of interfaces', forward('drop', 'iifname @taps accept\n oifname @taps accept', ' set taps {\n type ifname\n elements = { "tap0123", "tap9" }\n }')],
    [
      'a map of interfaces',
      forward('drop', 'iifname vmap { "tap0123" : accept, "lo" : drop }\n oifname vmap { "tap0123" : jump let }', ' chain let {\n accept\n }'),
    ],
    ['the way out', forward('drop', 'oifname "eth0" accept\n iifname "eth0" accept')],
    ['addresses', forward('drop', 'ip saddr 10.65.0.0/16 accept\n ip daddr 10.65.0.0/16 accept')],
    ['marks', forward('drop', 'meta mark & 0x10000 != 0 accept')],
    ['what is new', forward('drop', 'ct state new,established accept')],
    ['high ports', forward('drop', 'tcp dport 1024-65535 accept')],
    ['a rule that is not known here', forward('drop', 'meta skuid 0 accept')],
    ['a table that is switched off', `table inet theirs {\n flags dormant;\n chain through {\n type filter hook forward priority 0; policy drop;\n }\n}`],
    ['our own table', `table inet ours {\n chain through {\n type filter hook forward priority 0; policy drop;\n }\n}`],
    ['another hook', `table inet theirs {\n chain out {\n type filter hook output priority 0; policy drop;\n }\n}`],
    [
      'chains that jump to one another as deep as the kernel allows',
      forward(
        'accept',
        'jump a',
        `${Array.from({ length: 12 }, (_, at) => ` chain c${at} {\n ${at > 0 ? `jump c${at - 1}` : 'return'}\n }`).join('\n')}\n chain a {\n jump c11\n }`,
      ),
    ],
  ])('%s', async (_, rules) => expect(verdicts(await reading(rules))).toEqual([undefined, undefined]));
});

test('links that rules compare with the same are told apart by nothing else', async () => {
  const chains = await reading(forward('drop', 'iifname "tap*" accept\n oifname { "virbr0" } accept'));
  expect(chains.linkNames.map((bytes) => Buffer.from(bytes).toString().replace(/\0+$/, '')).sort()).toEqual(['tap', 'virbr0']);
  expect(chains.compareIndices).toBe(false);
  expect((await reading(forward('drop', 'iif "lo" accept'))).compareIndices).toBe(true);
});
