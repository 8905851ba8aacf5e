// A rule's statements as the kernel's expressions. Matches carry their protocol dependencies without the rule saying so.
import { unreachable } from '@calico-openstack/agent/errors';
import { MessageWriter } from '../netlink/attributes.ts';
import { type Expression, readExpressions, type VerdictData, writeExpressions } from './expressions.ts';
import { type FieldFacts, fieldFacts, protocolsWithPorts } from './fields.ts';
import type { ElementLimit, Field, NftRule, Statement, TableFamily, Verdict } from './objects.ts';
import { commentText, logPrefixText, nameProblem } from './text.ts';
import { hostOrder, isHostOrder, networkOrder } from './types.ts';

/** The first of the sixteen registers of four bytes; 0 is the verdict. */
const firstRegister = 8;
const registers = 16;
const verdictRegister = 0;
/** The last one: no key reaches so far where a mark is kept in it. */
const markRegister = 23;
const operation = { equal: 0, notEqual: 1 } as const;
const inverted = 1;
const nfProtocol = { 4: 2, 6: 10 } as const;
const etherType = { 4: 0x0800, 6: 0x86dd, arp: 0x0806 } as const;
const mark = { packet: { name: 'meta', key: 3 }, connection: { name: 'ct', key: 3 } } as const;
const secondsOf = { second: 1n, minute: 60n, hour: 3600n, day: 86400n } as const;
const verdictCodes = { drop: 0, accept: 1, continue: -1, jump: -3, goto: -4, return: -5 } as const;
const defaultBurstPackets = 5;
const tcp = 6;

/** What is wrong with a rule, in a sentence's second half. */
export class RuleProblem extends Error {}

export function verdictData(verdict: Verdict): VerdictData {
  return 'chain' in verdict ? { code: verdictCodes[verdict.verdict], chain: verdict.chain } : { code: verdictCodes[verdict.verdict] };
}

/** The verdict that the kernel tells; undefined: none that this program gives (queue, for example). */
export function readVerdictData({ code, chain }: VerdictData): Verdict | undefined {
  for (const verdict of ['drop', 'accept', 'continue', 'return'] as const) if (verdictCodes[verdict] === code) return { verdict };
  for (const verdict of ['jump', 'goto'] as const) if (verdictCodes[verdict] === code && chain !== undefined) return { verdict, chain };
  return undefined;
}

/** NFTA_RULE_EXPRESSIONS and NFTA_RULE_USERDATA of the rule: equal bytes, equal rules. RuleProblem where it cannot mean anything in a table of this family. */
export function encodeRule(family: TableFamily, rule: NftRule): Uint8Array {
  return encodeExpressions(compileRule(family, rule.statements), rule.comment);
}

/** The same bytes from what the kernel tells of a rule. undefined: it holds something that encodeRule never gives. */
export function canonicalRule(expressions: Uint8Array, userData: Uint8Array | undefined): Uint8Array | undefined {
  const list = readExpressions(expressions);
  return list === undefined ? undefined : encodeExpressions(list, userData === undefined ? undefined : readComment(userData, ruleComment));
}

const ruleExpressions = 4;
const ruleUserData = 7;
/** nft's number for a comment in a rule's user data (libnftnl, udata.h). */
const ruleComment = 0;

/** Written over for every rule. */
const scratch = new MessageWriter(1024);

/** encodeRule's second half: the attributes of a rule that was compiled. */
export function encodeExpressions(expressions: readonly Expression[], comment: string | undefined): Uint8Array {
  scratch.reset();
  scratch.nested(ruleExpressions, () => writeExpressions(scratch, expressions));
  if (comment !== undefined) scratch.binary(ruleUserData, commentData(ruleComment, comment));
  return Buffer.from(scratch.bytes()); // a copy
}

/** nft's own form of a comment: type, length, text and a NUL. */
export function commentData(type: number, comment: string): Uint8Array {
  const text = Buffer.from(`${commentText(comment)}\0`);
  return Buffer.concat([Buffer.from([type, text.length]), text]);
}

/** The comment of that type in user data, if there is one. */
export function readComment(userData: Uint8Array, wanted: number): string | undefined {
  for (let at = 0; at + 2 <= userData.length; ) {
    const [type, length] = [userData[at] ?? 0, userData[at + 1] ?? 0];
    if (type === wanted) return new TextDecoder().decode(userData.subarray(at + 2, at + 2 + length)).replace(/\0$/, '');
    at += 2 + length;
  }
  return undefined;
}

type Limit = Extract<Statement, { readonly is: 'limit' }>;

export function limitExpression({ rate, unit, burst, over, of }: Omit<Limit, 'is'>): Expression {
  const size = of === 'bytes' || burst > 0 ? burst : defaultBurstPackets;
  const bytes = of === 'bytes' ? { type: 1 } : {};
  return { name: 'limit', values: { rate: BigInt(rate), unit: secondsOf[unit], burst: size, ...bytes, ...(over ? { flags: inverted } : {}) } };
}

/** What limitExpression says of a set's elements; undefined: something that no limit of ours is. */
export function readElementLimit({ name, values }: Expression): ElementLimit | undefined {
  const { rate, unit: seconds, burst, type, flags } = values;
  const unit = units.find((each) => secondsOf[each] === seconds);
  if (name !== 'limit' || typeof rate !== 'bigint' || typeof burst !== 'number' || unit === undefined || type !== undefined || flags !== inverted)
    return undefined;
  return { rate: Number(rate), unit, burst };
}

const units = Object.keys(secondsOf) as readonly Limit['unit'][];

/** See encodeRule. */
export function compileRule(family: TableFamily, statements: readonly Statement[]): readonly Expression[] {
  const out: Expression[] = [];
  const known: { network?: 4 | 6 | 'arp' | undefined; transport?: number; ether?: true; ports?: boolean } = {};

  function require(field: FieldFacts): void {
    const { network, transport, ether } = field.needs;
    if (ether && !known.ether) {
      out.push({ name: 'meta', values: { dreg: firstRegister, key: 8 } }, compare(hostOrder(1, 2)));
      known.ether = true;
    }
    if (network !== undefined) requireNetwork(network);
    if (transport !== undefined) requireTransport(transport);
  }

  /** A rule that asks for two protocols gets both questions, and so matches nothing. */
  function requireNetwork(network: 4 | 6 | 'arp'): void {
    const only = onlyNetwork[family];
    if (only !== undefined && only !== network) throw new RuleProblem(`looks for ${networkName(network)} in a table of the ${family} family`);
    if (only !== undefined || known.network === network) return;
    if (family === 'netdev') {
      out.push({ name: 'meta', values: { dreg: firstRegister, key: 1 } }, compare(networkOrder(etherType[network], 2)));
    } else {
      if (network === 'arp') throw new RuleProblem('looks for ARP, which no table of the inet family sees');
      out.push({ name: 'meta', values: { dreg: firstRegister, key: 15 } }, compare(new Uint8Array([nfProtocol[network]])));
    }
    known.network = network;
  }

  function requireTransport(transport: number): void {
    if (known.transport === transport) return;
    out.push({ name: 'meta', values: { dreg: firstRegister, key: 16 } }, compare(new Uint8Array([transport])));
    known.transport = transport;
  }

  /** Loads the fields one behind the other, each from a register of its own on, dependencies first. */
  function load(fields: readonly Field[], positive: boolean): void {
    if (fields.length === 0) throw new RuleProblem('looks at no field');
    const facts = fields.map(fieldFacts);
    // A protocol in the same concatenation says what the ports belong to, if all of it is in the set.
    if (positive && fields.length > 1 && fields.some(tellsTransport)) known.ports = true;
    for (const field of fields) requirePorts(field);
    for (const field of facts) require(field);
    let register = firstRegister;
    for (const field of facts) {
      out.push(field.load(register));
      register += Math.ceil(field.widthBytes / 4);
    }
    if (register > firstRegister + registers) throw new RuleProblem('looks at more than 64 bytes at once');
  }

  function requirePorts(field: Field): void {
    if (field === 'nd target' && known.transport !== 58) throw new RuleProblem('looks for nd target without icmpv6 type before it');
    if ((field === 'th sport' || field === 'th dport') && !known.ports) {
      throw new RuleProblem(`looks for ${field} without having asked for a protocol that has ports (meta l4proto): in others something else stands there`);
    }
  }

  function checked(field: Field, ...values: readonly Uint8Array[]): void {
    const { widthBytes } = fieldFacts(field);
    const wrong = values.find((value) => value.length !== widthBytes);
    if (wrong !== undefined) throw new RuleProblem(`compares ${field}, which has ${widthBytes} bytes, with ${wrong.length} bytes`);
  }

  function learn(field: Field, value: Uint8Array): void {
    const number = value[0] ?? 0;
    if (field === 'meta nfproto') known.network = number === 2 ? 4 : number === 10 ? 6 : undefined;
    if (field === 'meta l4proto') known.transport = number;
    if (tellsTransport(field)) known.ports = protocolsWithPorts.includes(number);
    if (field === 'meta iiftype' && sameBytes(value, hostOrder(1, 2))) known.ether = true;
  }

  function setMark(of: 'packet' | 'connection', and: number, xor: number): void {
    const { name, key } = mark[of];
    if (and === 0) {
      out.push({ name: 'immediate', values: { dreg: firstRegister, data: hostOrder(xor) } });
    } else {
      out.push({ name, values: { dreg: firstRegister, key } }, bitwise(hostOrder(and), hostOrder(xor)));
    }
    out.push({ name, values: { key, sreg: firstRegister } });
  }

  function nat(kind: 'dnat' | 'snat', version: 4 | 6, port: number | undefined): void {
    const type = kind === 'snat' ? 0 : 1;
    const ports = port === undefined ? {} : { portMin: firstRegister + 4 };
    out.push({ name: 'nat', values: { type, family: nfProtocol[version], addressMin: firstRegister, ...ports } });
  }

  function reject(how: 'port-unreachable' | 'admin-prohibited' | 'tcp-reset'): void {
    if (how === 'tcp-reset') {
      requireTransport(tcp);
      out.push({ name: 'reject', values: { type: 1 } });
      return;
    }
    if (family === 'arp') throw new RuleProblem('rejects, which ARP does not know');
    const codes = { ip: [3, 13], ip6: [4, 1], inet: [1, 3], netdev: [1, 3] }[family];
    const type = family === 'ip' || family === 'ip6' ? 0 : 2;
    out.push({ name: 'reject', values: { type, code: codes[how === 'port-unreachable' ? 0 : 1] ?? 0 } });
  }

  /**
   * Leaves in the first register what the data map has for it. nft (1.0.6 to 1.1) ends with a failed assertion when it lists one lookup right behind another, which
   * would take `nft list ruleset` away from the whole host; so the number passes through the packet's mark, which is itself again before anything can see it.
   */
  function lookUpVia(via: string): void {
    const { name, key } = mark.packet;
    out.push(
      { name, values: { dreg: markRegister, key } },
      { name: 'lookup', values: { set: via, sreg: firstRegister, dreg: firstRegister } },
      { name, values: { key, sreg: firstRegister } },
      { name, values: { dreg: firstRegister, key } },
      { name, values: { key, sreg: markRegister } },
    );
  }

  function write(statement: Statement): void {
    switch (statement.is) {
      case 'match':
        checked(statement.field, statement.value);
        load([statement.field], !statement.negate);
        out.push(compare(statement.value, statement.negate));
        if (!statement.negate) learn(statement.field, statement.value);
        return;
      case 'masked': {
        const { field, mask, value, negate } = statement;
        checked(field, mask, value);
        if (value.some((byte, at) => (byte & ~(mask[at] ?? 0)) !== 0)) throw new RuleProblem(`compares ${field} with bits that its mask takes off`);
        load([field], !negate);
        const prefix = fieldFacts(field).type === 'ifname' ? wholeBytes(mask) : undefined;
        // nft's way to say "tap*": only the first bytes are compared.
        if (prefix !== undefined && prefix > 0) out.push(compare(value.slice(0, prefix), negate));
        else out.push(bitwise(mask, new Uint8Array(mask.length)), compare(value, negate));
        return;
      }
      case 'range': {
        const { field, first, last, negate } = statement;
        checked(field, first, last);
        const { type } = fieldFacts(field);
        if (type !== undefined && isHostOrder(type)) throw new RuleProblem(`asks for a range of ${field}, which has no order that the kernel could compare by`);
        if (Buffer.compare(first, last) > 0) throw new RuleProblem(`asks for a range of ${field} that ends before it starts`);
        load([field], !negate);
        out.push({ name: 'range', values: { sreg: firstRegister, op: negate ? operation.notEqual : operation.equal, from: first, to: last } });
        return;
      }
      case 'in-set':
        load(statement.fields, !statement.negate);
        out.push({ name: 'lookup', values: { set: named(statement.set), sreg: firstRegister, ...(statement.negate ? { flags: inverted } : {}) } });
        return;
      case 'verdict-map': {
        load(statement.fields, true);
        const { via, map } = statement;
        if (via !== undefined) lookUpVia(named(via));
        out.push({ name: 'lookup', values: { set: named(map), sreg: firstRegister, dreg: verdictRegister } });
        return;
      }
      case 'counter':
        out.push({ name: 'counter', values: {} });
        return;
      case 'log':
        out.push({ name: 'log', values: { prefix: logPrefixText(statement.prefix) } });
        return;
      case 'limit':
        out.push(limitExpression(statement));
        return;
      case 'connections-over':
        out.push({ name: 'connlimit', values: { count: statement.count, flags: inverted } });
        return;
      case 'set-mark':
        setMark(statement.of, statement.and >>> 0, statement.xor >>> 0);
        return;
      case 'notrack':
        out.push({ name: 'notrack', values: {} });
        return;
      case 'nat': {
        const { address, port, kind, family: version } = statement;
        if (address.length !== (version === 4 ? 4 : 16)) throw new RuleProblem(`translates to an address of ${address.length} bytes in family ${version}`);
        if (port !== undefined && !known.ports) throw new RuleProblem('translates to a port without having asked for a protocol that has ports (meta l4proto)');
        out.push({ name: 'immediate', values: { dreg: firstRegister, data: address } });
        if (port !== undefined) out.push({ name: 'immediate', values: { dreg: firstRegister + 4, data: networkOrder(port, 2) } });
        nat(kind, version, port);
        return;
      }
      case 'nat-map':
        load(statement.fields, true);
        out.push({ name: 'lookup', values: { set: named(statement.map), sreg: firstRegister, dreg: firstRegister } });
        nat(statement.kind, statement.family, undefined);
        return;
      case 'masquerade':
        out.push({ name: 'masq', values: {} });
        return;
      case 'reject':
        reject(statement.with);
        return;
      case 'verdict':
        if ('chain' in statement) named(statement.chain);
        out.push({ name: 'immediate', values: { dreg: verdictRegister, data: verdictData(statement) } });
        return;
      default:
        // A statement that vanishes would leave the rule matching more than it says.
        unreachable(statement);
    }
  }

  for (const statement of statements) write(statement);
  return out;
}

const tellsTransport = (field: Field): boolean => field === 'meta l4proto' || field === 'ip protocol';
const networkName = (network: 4 | 6 | 'arp'): string => (network === 'arp' ? 'ARP' : `IPv${network}`);
/** What alone comes to a table of that family. */
const onlyNetwork: { readonly [Family in TableFamily]: 4 | 6 | 'arp' | undefined } = { ip: 4, ip6: 6, arp: 'arp', inet: undefined, netdev: undefined };
const sameBytes = (one: Uint8Array, other: Uint8Array): boolean => Buffer.compare(one, other) === 0;

function compare(data: Uint8Array, negate?: boolean): Expression {
  return { name: 'cmp', values: { sreg: firstRegister, op: negate ? operation.notEqual : operation.equal, data } };
}

function bitwise(mask: Uint8Array, xor: Uint8Array): Expression {
  return { name: 'bitwise', values: { sreg: firstRegister, dreg: firstRegister, length: mask.length, mask, xor } };
}

/** How many bytes a mask takes whole, when it takes no part of one: ff ff 00 → 2. */
export function wholeBytes(mask: Uint8Array): number | undefined {
  const length = mask.findIndex((byte) => byte !== 255);
  if (length === -1) return mask.length;
  return mask.subarray(length).every((byte) => byte === 0) ? length : undefined;
}

function named(name: string): string {
  const problem = nameProblem(name);
  if (problem !== undefined) throw new RuleProblem(`names ${JSON.stringify(name)}, which ${problem}`);
  return name;
}
