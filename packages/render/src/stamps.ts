// What "established" means here: let through by policy of ours. Two bits of the connection's mark say by which side's; whatever has none is judged as if it began now.
//
//   egress stamp: the policy of the workload that began the connection let it out           checked where it sends, and where answers reach it
//   ingress stamp: the policy of the workload that it leads to let it in, or the host began it    checked where it is sent to, and where it answers
//
// A packet in the original direction without its stamp is judged by policy, and stamps what passes: a stamp that was lost comes back by itself. An answer without one is denied: nobody let
// in what it answers.
import type { Hook, NftChain, NftElement, NftRule, NftSet, Statement } from '@calico-openstack/kernel/nftables/objects';
import type { Direction } from './names.ts';
import type { ConnectionStamps, RenderOptions } from './options.ts';
import { byte, commented, connectionHas, connectionIs, drop, equal, goBack, goTo, l4proto, rule, stampConnection, u32 } from './statements.ts';

const [ORIGINAL, REPLY] = [byte(0), byte(1)];
const [ICMP, ICMPV6] = [1, 58];
/** IPS_EXPECTED: a connection tracking helper foretold it. */
const EXPECTED = 1;

/** The stamps in force, by who is speaking: what a later run knows by that connections have them, and which bits they are. */
export const stampSet: NftSet = { name: 'connection-stamps', key: ['ct_dir'], data: 'mark' };

export const stampElements = ({ stamps, unstamped }: RenderOptions): NftElement[] =>
  unstamped === 'pass'
    ? []
    : [
        { key: ORIGINAL, data: u32(stamps.egress) },
        { key: REPLY, data: u32(stamps.ingress) },
      ];

/** What `stampElements` said; undefined: nothing (complete) did. */
export function stampsOf(elements: Iterable<NftElement>): ConnectionStamps | undefined {
  const [egress, ingress] = [...elements]
    .sort((a, b) => a.key[0]! - b.key[0]!)
    .map(({ data }) => (data ? new DataView(data.buffer, data.byteOffset, 4).getUint32(0, littleEndian) : 0));
  return egress && ingress ? { egress, ingress } : undefined;
}
const littleEndian = u32(1)[0] === 1;

/** The stamps of a connection whose packets pass here, by the packet's direction: of the side that is judged here. */
const sidesOf = (direction: Direction, { egress, ingress }: ConnectionStamps): readonly [original: number, reply: number] =>
  direction === 'egress' ? [egress, ingress] : [ingress, egress];

/**
 * Lets through what is established, and denies answers in connections that nobody let through. What is left begins a connection, or has to be judged as if it did.
 * @param direction `egress`: from the workload, `ingress`: to it
 * @param passed what becomes of what is established
 * @param related where packets go that are about a connection, or that belong to a foretold one
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

/** Policy of this side has let it through. */
export const stamp = (direction: Direction, { stamps }: RenderOptions): Statement => stampConnection(stamps[direction]);

/** What is said about a connection is as good as the connection; what a helper foretold is let through as what foretold it was. Goes on with what passes. */
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
 * A connection that a helper foretold has the stamps of the one that foretold it, turned round where the other side begins it. One stamp is enough where only one side is a workload of this host.
 * @param otherSide a rule for each prefix of workload interfaces, about the other side's interface
 */
export function foretold(direction: Direction, options: RenderOptions, otherSide: (verdict: Statement) => NftRule[]): NftChain {
  const { egress, ingress } = options.stamps;
  const both = (egress | ingress) >>> 0;
  const checks = options.unstamped === 'pass' ? [] : [rule(connectionHas(both), goBack), ...otherSide(drop), rule(connectionHasNone(both), drop)];
  return { name: foretoldChain(direction), rules: [...checks, rule(stamp(direction, options), goBack)] };
}

const connectionHasNone = (bits: number): Statement => ({ is: 'masked', field: 'ct mark', mask: u32(bits), value: u32(0) });

/** Connections that the host itself begins are not policed: their answers pass, because nobody but the host gives them this stamp. Where a packet leaves, since it may be translated before. */
export const hostConnections = (options: RenderOptions, hook: Hook, toWorkload: (...statements: readonly Statement[]) => NftRule[]): NftChain => ({
  name: 'stamp-host',
  hook,
  rules: toWorkload(equal('meta iif', u32(0)), equal('ct direction', ORIGINAL), stamp('ingress', options)),
});
