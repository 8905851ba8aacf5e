// Stamps: two bits of a connection's mark that say which side's policy let the connection through. Only a stamped connection counts as established; any other is judged as if it began now.
//
//   egress stamp: the policy of the workload that began the connection let it out           checked where it sends, and where answers reach it
//   ingress stamp: the policy of the workload that it leads to let it in, or the host began it    checked where it is sent to, and where it answers
//
// A packet in the original direction without its stamp is judged by policy, and gets the stamp when it passes, so a lost stamp comes back by itself. An answer without its stamp is denied,
// because no policy let in what it answers.
import type { Hook, NftChain, NftElement, NftRule, NftSet, Statement } from '@calico-openstack/kernel/nftables/objects';
import type { Direction } from './names.ts';
import type { ConnectionStamps, RenderOptions } from './options.ts';
import { byte, commented, connectionHas, connectionIs, drop, equal, goBack, goTo, l4proto, rule, stampConnection, u32 } from './statements.ts';

const [ORIGINAL, REPLY] = [byte(0), byte(1)];
const [ICMP, ICMPV6] = [1, 58];
/** IPS_EXPECTED: a connection tracking helper expected the connection. */
const EXPECTED = 1;

/** The set that records the stamps in force, by direction. A later run reads from it that connections are stamped, and with which bits. */
export const stampSet: NftSet = { name: 'connection-stamps', key: ['ct_dir'], data: 'mark' };

/** The elements of `stampSet`; none while unstamped connections may pass. */
export const stampElements = ({ stamps, unstamped }: RenderOptions): NftElement[] =>
  unstamped === 'pass'
    ? []
    : [
        { key: ORIGINAL, data: u32(stamps.egress) },
        { key: REPLY, data: u32(stamps.ingress) },
      ];

/** The stamps that an earlier run recorded in `stampSet`; undefined when the record is missing or incomplete. */
export function stampsOf(elements: Iterable<NftElement>): ConnectionStamps | undefined {
  const [egress, ingress] = [...elements]
    .sort((a, b) => a.key[0]! - b.key[0]!)
    .map(({ data }) => (data ? new DataView(data.buffer, data.byteOffset, 4).getUint32(0, littleEndian) : 0));
  return egress && ingress ? { egress, ingress } : undefined;
}
const littleEndian = u32(1)[0] === 1;

/** The stamps of the side that is judged here, by the direction of the packet within its connection. */
const sidesOf = (direction: Direction, { egress, ingress }: ConnectionStamps): readonly [original: number, reply: number] =>
  direction === 'egress' ? [egress, ingress] : [ingress, egress];

/**
 * Rules that let established connections pass and deny answers in connections that no policy let through. A packet that they do not decide begins a connection, or is judged as if it did.
 * @param direction `egress`: from the workload, `ingress`: to it
 * @param passed the statement for packets of established connections
 * @param related the chain for packets about a connection, and for those of an expected one
 * @param invalid rules for packets that conntrack calls invalid
 * @param denied the statement for answers that are denied
 */
export function establishedRules(
  direction: Direction,
  options: RenderOptions,
  passed: Statement,
  related: string,
  invalid: readonly NftRule[],
  denied: Statement,
): NftRule[] {
  const [original, reply] = sidesOf(direction, options.stamps);
  const unasked = options.unstamped === 'pass' ? [] : [commented('an answer in a connection that no policy let through', equal('ct direction', REPLY), denied)];
  const established =
    options.unstamped === 'pass'
      ? [rule(connectionIs('established'), passed)]
      : [
          rule(connectionIs('established'), equal('ct direction', ORIGINAL), connectionHas(original), passed),
          rule(connectionIs('established'), equal('ct direction', REPLY), connectionHas(reply), passed),
        ];
  return [...established, rule(connectionIs('related'), goTo(related)), ...invalid, ...unasked];
}

/** Gives the connection the stamp of this side. */
export const stamp = (direction: Direction, { stamps }: RenderOptions): Statement => stampConnection(stamps[direction]);

/** Rules for packets about a connection, which need that connection's stamps, and for expected connections. The chain goes on for packets that pass. */
export function relatedRules(direction: Direction, options: RenderOptions): NftRule[] {
  const foretold = rule(connectionStatusHas(EXPECTED), l4proto(ICMP, true), l4proto(ICMPV6, true), goTo(foretoldChain(direction)));
  if (options.unstamped === 'pass') return [foretold];
  const [original, reply] = sidesOf(direction, options.stamps);
  return [
    foretold,
    rule(equal('ct direction', ORIGINAL), connectionHas(original, true), drop),
    rule(equal('ct direction', REPLY), connectionHas(reply, true), drop),
  ];
}

const foretoldChain = (direction: Direction): string => `foretold-${direction}`;
const connectionStatusHas = (bits: number): Statement => ({ is: 'masked', field: 'ct status', mask: u32(bits), value: u32(0), negate: true });

/**
 * The chain for connections that a helper expected (`foretold`). Such a connection inherits the stamps of the one that announced it, swapped when the other side begins it. One stamp is enough
 * when only one side is a workload of this host.
 * @param otherSide makes a rule for each prefix of workload interfaces, about the other side's interface
 */
export function foretold(direction: Direction, options: RenderOptions, otherSide: (verdict: Statement) => NftRule[]): NftChain {
  const { egress, ingress } = options.stamps;
  const both = (egress | ingress) >>> 0;
  const checks = options.unstamped === 'pass' ? [] : [rule(connectionHas(both), goBack), ...otherSide(drop), rule(connectionHasNone(both), drop)];
  return { name: foretoldChain(direction), rules: [...checks, rule(stamp(direction, options), goBack)] };
}

const connectionHasNone = (bits: number): Statement => ({ is: 'masked', field: 'ct mark', mask: u32(bits), value: u32(0) });

/**
 * The chain that stamps connections which the host itself begins. They are not policed, and their answers pass because of this stamp, which only the host can give. It works where packets
 * leave, after any translation.
 */
export const hostConnections = (options: RenderOptions, hook: Hook, toWorkload: (...statements: readonly Statement[]) => NftRule[]): NftChain => ({
  name: 'stamp-host',
  hook,
  rules: toWorkload(equal('meta iif', u32(0)), equal('ct direction', ORIGINAL), stamp('ingress', options)),
});
