// Compiles a rule's statements into the kernel's expressions. The checks that a match depends on are added (rule-builder.ts).
import { unreachable } from '@calico-openstack/agent/errors';
import type { Expression } from './expressions.ts';
import { fieldFacts } from './fields.ts';
import { limitExpression } from './limit-expression.ts';
import type { Field, Statement, TableFamily } from './objects.ts';
import { firstRegister, inverted, markRegister, nfProtocol, operation, verdictRegister } from './registers.ts';
import { compare, RuleBuilder, RuleProblem } from './rule-builder.ts';
import { logPrefixText, nameProblem } from './text.ts';
import { hostOrder, isHostOrder, networkOrder } from './types.ts';
import { verdictData } from './verdict-data.ts';

const mark = { packet: { name: 'meta', key: 3 }, connection: { name: 'ct', key: 3 } } as const;
const tcp = 6;

type StatementOf<Is extends Statement['is']> = Extract<Statement, { readonly is: Is }>;

/** Compiles the statements of a rule. Throws RuleProblem for a rule that has no meaning in a table of this family. */
export function compileRule(family: TableFamily, statements: readonly Statement[]): readonly Expression[] {
  const rule = new RuleBuilder(family);
  for (const statement of statements) write(rule, statement);
  return rule.expressions;
}

function write(rule: RuleBuilder, statement: Statement): void {
  const { expressions } = rule;
  switch (statement.is) {
    case 'match':
      writeMatch(rule, statement);
      return;
    case 'masked':
      writeMasked(rule, statement);
      return;
    case 'range':
      writeRange(rule, statement);
      return;
    case 'in-set':
      rule.load(statement.fields, !statement.negate);
      expressions.push({ name: 'lookup', values: { set: named(statement.set), sreg: firstRegister, ...(statement.negate ? { flags: inverted } : {}) } });
      return;
    case 'verdict-map':
      rule.load(statement.fields, true);
      if (statement.via !== undefined) lookUpVia(rule, named(statement.via));
      expressions.push({ name: 'lookup', values: { set: named(statement.map), sreg: firstRegister, dreg: verdictRegister } });
      return;
    case 'counter':
      expressions.push({ name: 'counter', values: {} });
      return;
    case 'log':
      expressions.push({ name: 'log', values: { prefix: logPrefixText(statement.prefix) } });
      return;
    case 'limit':
      expressions.push(limitExpression(statement));
      return;
    case 'connections-over':
      expressions.push({ name: 'connlimit', values: { count: statement.count, flags: inverted } });
      return;
    case 'set-mark':
      writeMark(rule, statement);
      return;
    case 'notrack':
      expressions.push({ name: 'notrack', values: {} });
      return;
    case 'nat':
      writeNat(rule, statement);
      return;
    case 'nat-map':
      rule.load(statement.fields, true);
      expressions.push({ name: 'lookup', values: { set: named(statement.map), sreg: firstRegister, dreg: firstRegister } });
      translate(rule, statement.kind, statement.family, {});
      return;
    case 'masquerade':
      // The kernel heeds ports of a masquerade only with the flag NF_NAT_RANGE_PROTO_SPECIFIED; for other translations it sets the flag itself.
      expressions.push({ name: 'masq', values: { ...loadPorts(rule, firstRegister, statement), ...(statement.port !== undefined && { flags: 0x2 }) } });
      return;
    case 'reject':
      writeReject(rule, statement);
      return;
    case 'verdict':
      if ('chain' in statement) named(statement.chain);
      expressions.push({ name: 'immediate', values: { dreg: verdictRegister, data: verdictData(statement) } });
      return;
    default:
      // Without one of its statements the rule would match more than intended.
      unreachable(statement);
  }
}

function writeMatch(rule: RuleBuilder, { field, value, negate }: StatementOf<'match'>): void {
  checkWidth(field, value);
  rule.load([field], !negate);
  rule.expressions.push(compare(value, negate));
  if (!negate) rule.learn(field, value);
}

function writeMasked(rule: RuleBuilder, { field, mask, value, negate }: StatementOf<'masked'>): void {
  checkWidth(field, mask, value);
  if (value.some((byte, at) => (byte & ~(mask[at] ?? 0)) !== 0)) throw new RuleProblem(`compares ${field} with bits that its mask takes off`);
  rule.load([field], !negate);
  const prefix = fieldFacts(field).type === 'ifname' ? wholeBytes(mask) : undefined;
  // nft's form of "tap*": only the first bytes are compared.
  if (prefix !== undefined && prefix > 0) rule.expressions.push(compare(value.slice(0, prefix), negate));
  else rule.expressions.push(bitwise(mask, new Uint8Array(mask.length)), compare(value, negate));
}

function writeRange(rule: RuleBuilder, { field, first, last, negate }: StatementOf<'range'>): void {
  checkWidth(field, first, last);
  const { type } = fieldFacts(field);
  if (type !== undefined && isHostOrder(type)) throw new RuleProblem(`asks for a range of ${field}, which has no order that the kernel could compare by`);
  if (Buffer.compare(first, last) > 0) throw new RuleProblem(`asks for a range of ${field} that ends before it starts`);
  rule.load([field], !negate);
  rule.expressions.push({ name: 'range', values: { sreg: firstRegister, op: negate ? operation.notEqual : operation.equal, from: first, to: last } });
}

/**
 * Loads into the first register what the data map has for its key. nft (1.0.6 to 1.1) ends with a failed assertion when it lists one lookup right after another, which would
 * break `nft list ruleset` on the whole host. So the number passes through the packet's mark, which is restored before anything can see it.
 */
function lookUpVia({ expressions }: RuleBuilder, via: string): void {
  const { name, key } = mark.packet;
  expressions.push(
    { name, values: { dreg: markRegister, key } },
    { name: 'lookup', values: { set: via, sreg: firstRegister, dreg: firstRegister } },
    { name, values: { key, sreg: firstRegister } },
    { name, values: { dreg: firstRegister, key } },
    { name, values: { key, sreg: markRegister } },
  );
}

function writeMark({ expressions }: RuleBuilder, statement: StatementOf<'set-mark'>): void {
  const { name, key } = mark[statement.of];
  const [and, xor] = [statement.and >>> 0, statement.xor >>> 0];
  if (and === 0) expressions.push({ name: 'immediate', values: { dreg: firstRegister, data: hostOrder(xor) } });
  else expressions.push({ name, values: { dreg: firstRegister, key } }, bitwise(hostOrder(and), hostOrder(xor)));
  expressions.push({ name, values: { key, sreg: firstRegister } });
}

function writeNat(rule: RuleBuilder, statement: StatementOf<'nat'>): void {
  const { address, kind, family: version } = statement;
  if (address.length !== (version === 4 ? 4 : 16)) throw new RuleProblem(`translates to an address of ${address.length} bytes in family ${version}`);
  rule.expressions.push({ name: 'immediate', values: { dreg: firstRegister, data: address } });
  translate(rule, kind, version, loadPorts(rule, firstRegister + 4, statement));
}

type Ports = { readonly portMin?: number; readonly portMax?: number };

/** Loads the ports that a statement translates to into registers from `register` on. Returns the attributes that name these. */
function loadPorts(rule: RuleBuilder, register: number, { port, lastPort }: Pick<StatementOf<'nat'>, 'port' | 'lastPort'>): Ports {
  if (port === undefined) return {};
  if (!rule.hasPorts) throw new RuleProblem('translates to a port without having asked for a protocol that has ports (meta l4proto)');
  if (lastPort !== undefined && lastPort < port) throw new RuleProblem(`translates to ports from ${port} to ${lastPort}`);
  rule.expressions.push({ name: 'immediate', values: { dreg: register, data: networkOrder(port, 2) } });
  if (lastPort === undefined || lastPort === port) return { portMin: register };
  rule.expressions.push({ name: 'immediate', values: { dreg: register + 4, data: networkOrder(lastPort, 2) } });
  return { portMin: register, portMax: register + 4 };
}

/** Translates to the address in the first register. */
function translate({ expressions }: RuleBuilder, kind: 'dnat' | 'snat', version: 4 | 6, ports: Ports): void {
  const type = kind === 'snat' ? 0 : 1;
  expressions.push({ name: 'nat', values: { type, family: nfProtocol[version], addressMin: firstRegister, ...ports } });
}

function writeReject(rule: RuleBuilder, { with: how }: StatementOf<'reject'>): void {
  const { family, expressions } = rule;
  if (how === 'tcp-reset') {
    rule.requireTransport(tcp);
    expressions.push({ name: 'reject', values: { type: 1 } });
    return;
  }
  if (family === 'arp') throw new RuleProblem('rejects, which ARP does not know');
  const codes = { ip: [3, 13], ip6: [4, 1], inet: [1, 3], netdev: [1, 3] }[family];
  const type = family === 'ip' || family === 'ip6' ? 0 : 2;
  expressions.push({ name: 'reject', values: { type, code: codes[how === 'port-unreachable' ? 0 : 1] ?? 0 } });
}

function checkWidth(field: Field, ...values: readonly Uint8Array[]): void {
  const { widthBytes } = fieldFacts(field);
  const wrong = values.find((value) => value.length !== widthBytes);
  if (wrong !== undefined) throw new RuleProblem(`compares ${field}, which has ${widthBytes} bytes, with ${wrong.length} bytes`);
}

function bitwise(mask: Uint8Array, xor: Uint8Array): Expression {
  return { name: 'bitwise', values: { sreg: firstRegister, dreg: firstRegister, length: mask.length, mask, xor } };
}

/** The number of whole bytes that a mask covers, undefined when it covers part of one: ff ff 00 → 2. */
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
