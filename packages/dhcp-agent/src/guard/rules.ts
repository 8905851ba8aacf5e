// The nftables rules that keep some of the guests' DHCPv4 messages from Dnsmasq, and their DHCPv6 messages from every program but this agent, whose packet socket receives them before any
// rule. The rules stay in force whatever this agent, Felix or Dnsmasq do. Pure.
import type { NftChain, NftRule, Statement, Verdict } from '@calico-openstack/kernel/nftables/objects';

/** This agent's own table. No other program uses its name, so it also works on a host with upstream's Felix. */
export const guardTable = { family: 'inet', name: 'calico-dhcp-agent' } as const;

const [udp, ipv4, ipv6] = [17, 2, 10];
/**
 * Option 53 (message type), one byte: DHCPDECLINE. Clients write it first, and dhcpcd behind option 50 (the requested address, four bytes). Options may have any order (RFC 2132 2), but rules
 * cannot walk through them: a client with another order shuts itself out, and nobody else.
 */
const declines = [53, 1, 4] as const;
const requestedAddress = [50, 4] as const;
const declined = 'an address that is declined would be offered to nobody';

const verdict = (value: Verdict): Statement => ({ is: 'verdict', ...value });
const drop = verdict({ verdict: 'drop' });
const equal = (field: Extract<Statement, { is: 'match' }>['field'], ...value: readonly number[]): Statement => ({
  is: 'match',
  field,
  value: Uint8Array.from(value),
});
const isTap: Statement = { is: 'masked', field: 'meta iifname', mask: padded(255, 255, 255), value: padded(...Buffer.from('tap')) };
const toPort = (family: number, port: number): readonly Statement[] => [
  equal('meta nfproto', family),
  equal('meta l4proto', udp),
  equal('th dport', port >> 8, port & 255),
];
const rule = (comment: string, ...statements: readonly Statement[]): NftRule => ({ comment, statements });

/** The chains with their rules. */
export const guardChains: readonly NftChain[] = [
  {
    name: 'input',
    hook: { type: 'filter', hook: 'input', priority: -10, policy: 'accept' },
    rules: [{ statements: [isTap, verdict({ verdict: 'jump', chain: 'from-tap' })] }],
  },
  {
    name: 'from-tap',
    rules: [
      rule('a relay would get the answer', ...toPort(ipv4, 67), { is: 'match', field: 'dhcp giaddr', value: new Uint8Array(4), negate: true }, drop),
      rule(declined, ...toPort(ipv4, 67), equal('dhcp first option', ...declines), drop),
      rule(declined, ...toPort(ipv4, 67), equal('dhcp first option head', ...requestedAddress), equal('dhcp second option', ...declines), drop),
      rule('heard and answered before these rules, by this agent alone', ...toPort(ipv6, 547), drop),
    ],
  },
];

function padded(...bytes: readonly number[]): Uint8Array {
  const name = new Uint8Array(16);
  name.set(bytes);
  return name;
}
