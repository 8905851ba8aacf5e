// Prints nftables objects as nft text. `nft -f` reads the text back to the same objects.
import { unreachable } from '@calico-openstack/agent/errors';
import { hostIsLittleEndian } from '../netlink/attributes.ts';
import { wholeBytes } from './compile.ts';
import { fieldFacts } from './fields.ts';
import type { Field, Hook, NftChain, NftElement, NftRule, NftSet, NftTable, Statement, TableFamily, Verdict } from './objects.ts';
import type { Operation } from './operations.ts';
import { commentText, logPrefixText, quoted } from './text.ts';
import { isHostOrder, networkNumber, printValue, widthOf } from './types.ts';

/** Prints a whole table, with its objects and elements in the table's order. */
export function printTable(table: NftTable): string {
  const sets = [...table.sets.values()].map(({ set, elements }) => indent(printSet(set, elements)));
  const chains = [...table.chains.values()].map((chain) => indent(printChain(chain, table.family)));
  return `table ${table.family} ${table.name} {\n${[...sets, ...chains].join('\n')}}\n`;
}

/** Prints a set or map with its elements. */
export function printSet(set: NftSet, elements: readonly NftElement[] = []): string {
  const lines = [`${set.data === undefined ? 'set' : 'map'} ${set.name} {`, ...definitionLines(set).map((line) => `\t${line}`)];
  if (elements.length > 0) lines.push('\telements = {', ...elements.map((element) => `\t\t${printElement(set, element)},`), '\t}');
  return `${[...lines, '}'].join('\n')}\n`;
}

function definitionLines(set: NftSet): string[] {
  const type = set.data === undefined ? set.key.join(' . ') : `${set.key.join(' . ')} : ${set.data}`;
  const limit = set.limit === undefined ? [] : [printLimit({ is: 'limit', ...set.limit, over: true })];
  return [
    `type ${type}`,
    ...(set.interval ? ['flags interval'] : []),
    ...limit,
    ...(set.comment === undefined ? [] : [`comment ${quoted(commentText(set.comment))}`]),
  ];
}

/** Prints a set's definition. A set in the kernel has to be recreated exactly when this text differs. */
export const printDefinition = (set: NftSet): string => definitionLines(set).join('; ');

/** Prints an element. */
export function printElement(set: NftSet, element: NftElement): string {
  const key = printKey(set, element.key);
  const range = element.keyEnd === undefined ? key : `${key}-${printKey(set, element.keyEnd)}`;
  if (element.verdict !== undefined) return `${range} : ${printVerdict(element.verdict)}`;
  if (element.data !== undefined && set.data !== undefined && set.data !== 'verdict') return `${range} : ${printValue(set.data, element.data)}`;
  return range;
}

function printKey(set: NftSet, key: Uint8Array): string {
  let at = 0;
  const parts = set.key.map((type) => {
    const from = at;
    at += widthOf(type);
    return printValue(type, key.subarray(from, at));
  });
  return parts.join(' . ');
}

/** Prints a chain with its rules. */
export function printChain(chain: NftChain, family: TableFamily = 'inet'): string {
  const hook = chain.hook === undefined ? [] : [`\t${printHook(chain.hook)}`];
  return `${[`chain ${chain.name} {`, ...hook, ...chain.rules.map((rule) => `\t${printRule(rule, family)}`), '}'].join('\n')}\n`;
}

/** Prints a base chain's hook. */
export function printHook({ type, hook, device, priority, policy }: Hook): string {
  return `type ${type} hook ${hook}${device === undefined ? '' : ` device ${quoted(device)}`} priority ${priority}; policy ${policy};`;
}

/** Prints a rule with its comment. */
export function printRule(rule: NftRule, family: TableFamily = 'inet'): string {
  const comment = rule.comment === undefined ? [] : [`comment ${quoted(commentText(rule.comment))}`];
  return [...rule.statements.map((statement) => printStatement(statement, family)), ...comment].join(' ');
}

/** Prints a verdict. */
export const printVerdict = (verdict: Verdict): string => ('chain' in verdict ? `${verdict.verdict} ${verdict.chain}` : verdict.verdict);

/** Prints a statement. */
export function printStatement(statement: Statement, family: TableFamily = 'inet'): string {
  switch (statement.is) {
    case 'match':
      return `${fieldText(statement.field)} ${equals(statement.field, statement.negate)}${fieldValue(statement.field, statement.value)}`;
    case 'masked':
      return printMasked(statement);
    case 'range':
      return `${fieldText(statement.field)} ${not(statement.negate)}${fieldValue(statement.field, statement.first)}-${fieldValue(statement.field, statement.last)}`;
    case 'in-set':
      return `${fieldsText(statement.fields)} ${not(statement.negate)}@${statement.set}`;
    case 'verdict-map': {
      const fields = fieldsText(statement.fields);
      // This is how nft lists the rule. Read back, it would leave the mark changed: nft has no syntax for restoring it.
      return statement.via === undefined
        ? `${fields} vmap @${statement.map}`
        : `meta mark set ${fields} map @${statement.via} meta mark set meta mark meta mark vmap @${statement.map}`;
    }
    case 'counter':
      return 'counter';
    case 'log':
      return `log prefix ${quoted(logPrefixText(statement.prefix))}`;
    case 'limit':
      return printLimit(statement);
    case 'connections-over':
      return `ct count over ${statement.count}`;
    case 'set-mark':
      return printSetMark(statement.of === 'packet' ? 'meta mark' : 'ct mark', statement.and >>> 0, statement.xor >>> 0);
    case 'notrack':
      return 'notrack';
    case 'nat': {
      const address = printValue(statement.family === 4 ? 'ipv4_addr' : 'ipv6_addr', statement.address);
      const port = printPorts(statement);
      return `${natVerb(statement, family)} ${statement.family === 6 && port !== '' ? `[${address}]` : address}${port}`;
    }
    case 'nat-map':
      return `${natVerb(statement, family)} ${fieldsText(statement.fields)} map @${statement.map}`;
    case 'masquerade':
      return statement.port === undefined ? 'masquerade' : `masquerade to ${printPorts(statement)}`;
    case 'reject':
      return printReject(statement.with, family);
    case 'verdict':
      return printVerdict(statement);
    default:
      return unreachable(statement);
  }
}

/** How many elements are listed when there are many. */
const fewElements = 3;

/** Prints an operation of a transaction as nft would write it. */
export function printOperation(family: TableFamily, table: string, operation: Operation): string {
  const within = `${family} ${table}`;
  switch (operation.verb) {
    case 'add table':
    case 'delete table':
      return `${operation.verb} ${within}`;
    case 'flush chain':
    case 'delete chain':
      return `${operation.verb} ${within} ${operation.chain}`;
    case 'add chain':
      return `${operation.verb} ${within} ${operation.chain.name}${operation.chain.hook === undefined ? '' : ` { ${printHook(operation.chain.hook)} }`}`;
    case 'delete set':
      return `${operation.verb} ${within} ${operation.set}`;
    case 'add set':
      return `${operation.verb} ${within} ${operation.set.name} { ${printDefinition(operation.set)}; }`;
    case 'delete object':
      return `${operation.verb} ${within} ${operation.object}`;
    case 'add rules':
      return operation.chain.rules.map((rule) => `add rule ${within} ${operation.chain.name} ${printRule(rule, family)}`).join('; ');
    case 'add elements':
    case 'delete elements': {
      const some = operation.elements.slice(0, fewElements).map((element) => printElement(operation.set, element));
      const more = operation.elements.length > fewElements ? [`… (${operation.elements.length})`] : [];
      return `${operation.verb === 'add elements' ? 'add' : 'delete'} element ${within} ${operation.set.name} { ${[...some, ...more].join(', ')} }`;
    }
    default:
      return unreachable(operation);
  }
}

const not = (negate: boolean | undefined): string => (negate ? '!= ' : '');
/** The comparison sign. nft reads several bits without a sign as "any of them". */
const equals = (field: Field, negate: boolean | undefined): string => (negate ? '!= ' : field === 'ct state' || field === 'ct status' ? '== ' : '');
/** Indents lines. Only a line feed ends a line: comments may hold Unicode's other line ends. */
const indent = (text: string): string =>
  text
    .split('\n')
    .map((line) => (line === '' ? line : `\t${line}`))
    .join('\n');
const fieldText = (field: Field): string => fieldFacts(field).text ?? field;
const fieldsText = (fields: readonly Field[]): string => fields.map(fieldText).join(' . ');

function fieldValue(field: Field, value: Uint8Array): string {
  const { type, text } = fieldFacts(field);
  if (text !== undefined) return `0x${Buffer.from(value).toString('hex')}`;
  return type === undefined ? String(networkNumber(value)) : printValue(type, value);
}

/** Prints a masked match: in nft's short form where there is one (a prefix, the beginning of a name, one of several bits), otherwise as a formula. */
function printMasked({ field, mask, value, negate }: Extract<Statement, { readonly is: 'masked' }>): string {
  const { type } = fieldFacts(field);
  const bits = prefixLength(mask);
  if (type === 'ifname') {
    const length = wholeBytes(mask);
    if (length !== undefined && length > 0) return `${field} ${not(negate)}${quoted(`${new TextDecoder().decode(value.subarray(0, length))}*`)}`;
  }
  if ((type === 'ipv4_addr' || type === 'ipv6_addr') && bits !== undefined && fieldFacts(field).text === undefined) {
    return `${field} ${not(negate)}${printValue(type, value)}/${bits}`;
  }
  const nothing = value.every((byte) => byte === 0);
  if ((type === 'ct_state' || type === 'ct_status') && nothing && negate) return `${field} ${printValue(type, mask)}`;
  return `${fieldText(field)} & 0x${bigEndianHex(field, mask)} ${negate ? '!=' : '=='} 0x${bigEndianHex(field, value)}`;
}

/** A value as one hexadecimal number, a form that nft accepts for any type. */
function bigEndianHex(field: Field, value: Uint8Array): string {
  const { type } = fieldFacts(field);
  const ordered = type !== undefined && isHostOrder(type) && hostIsLittleEndian ? value.toReversed() : value;
  return Buffer.from(ordered).toString('hex');
}

/** The prefix length of a mask; undefined when the mask is not a prefix. */
function prefixLength(mask: Uint8Array): number | undefined {
  const text = [...mask].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  const end = text.indexOf('0');
  if (end === -1) return text.length;
  return text.includes('1', end) ? undefined : end;
}

function printLimit({ rate, unit, burst, over, of }: Extract<Statement, { readonly is: 'limit' }>): string {
  const amount = of === 'bytes' ? `${rate} bytes/${unit}` : `${rate}/${unit}`;
  const size = of === 'bytes' ? (burst > 0 ? ` burst ${burst} bytes` : '') : ` burst ${burst > 0 ? burst : 5} packets`;
  return `limit rate ${over ? 'over ' : ''}${amount}${size}`;
}

function printSetMark(field: string, and: number, xor: number): string {
  const number = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`;
  if (and === 0) return `${field} set ${number(xor)}`;
  return `${field} set ${field} & ${number(and)} ^ ${number(xor)}`;
}

function natVerb({ kind, family: version }: { readonly kind: 'dnat' | 'snat'; readonly family: 4 | 6 }, family: TableFamily): string {
  return family === 'inet' ? `${kind} ${version === 4 ? 'ip' : 'ip6'} to` : `${kind} to`;
}

function printReject(how: 'port-unreachable' | 'admin-prohibited' | 'tcp-reset', family: TableFamily): string {
  if (how === 'tcp-reset') return 'reject with tcp reset';
  return `reject with ${family === 'ip' ? 'icmp' : family === 'ip6' ? 'icmpv6' : 'icmpx'} ${how}`;
}

/** The ports that a statement translates to, with a colon before them; empty when there are none. */
function printPorts({ port, lastPort = port }: { readonly port?: number; readonly lastPort?: number }): string {
  if (port === undefined) return '';
  return lastPort === port ? `:${port}` : `:${port}-${lastPort}`;
}
