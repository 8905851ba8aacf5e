// The kernel's form of a rule: a list of expressions that pass values on in registers. As values here, encoded to netlink attributes and decoded again.
import { unreachable } from '@calico-openstack/agent/errors';
import { eachAttribute, findAttribute, type MessageWriter, readBe32, readBe64, readString } from '../netlink/attributes.ts';

/** A verdict in the kernel's numbers. */
export type VerdictData = { readonly code: number; readonly chain?: string };
/** The value of an attribute. */
export type ExpressionValue = number | bigint | string | Uint8Array | VerdictData;
/** An expression: its name and its attributes. */
export type Expression = { readonly name: string; readonly values: { readonly [attribute: string]: ExpressionValue } };

type Kind = 'register' | 'number' | 'wide' | 'byte' | 'name' | 'data' | 'ignored';
/** An attribute's number and kind, and the default that the kernel assumes, and reports, when it is not given. */
type Attribute = readonly [number: number, kind: Kind, unlessGiven?: number];

/** The attributes of each expression (linux/netfilter/nf_tables.h). A rule with anything that is not listed here was not written by this program. */
const expressions: { readonly [name: string]: { readonly [attribute: string]: Attribute } } = {
  meta: { dreg: [1, 'register'], key: [2, 'number'], sreg: [3, 'register'] },
  ct: { dreg: [1, 'register'], key: [2, 'number'], direction: [3, 'byte'], sreg: [4, 'register'] },
  payload: { dreg: [1, 'register'], base: [2, 'number'], offset: [3, 'number'], length: [4, 'number'] },
  fib: { dreg: [1, 'register'], result: [2, 'number'], flags: [3, 'number'] },
  cmp: { sreg: [1, 'register'], op: [2, 'number'], data: [3, 'data'] },
  bitwise: { sreg: [1, 'register'], dreg: [2, 'register'], length: [3, 'number'], mask: [4, 'data'], xor: [5, 'data'], op: [6, 'number', 0] },
  range: { sreg: [1, 'register'], op: [2, 'number'], from: [3, 'data'], to: [4, 'data'] },
  lookup: { set: [1, 'name'], sreg: [2, 'register'], dreg: [3, 'register'], id: [4, 'ignored'], flags: [5, 'number', 0] },
  immediate: { dreg: [1, 'register'], data: [2, 'data'] },
  nat: {
    type: [1, 'number'],
    family: [2, 'number'],
    addressMin: [3, 'register'],
    addressMax: [4, 'register'],
    portMin: [5, 'register'],
    portMax: [6, 'register'],
    flags: [7, 'number', 0],
  },
  masq: { flags: [1, 'number', 0], portMin: [2, 'register'], portMax: [3, 'register'] },
  limit: { rate: [1, 'wide'], unit: [2, 'wide'], burst: [3, 'number'], type: [4, 'number', 0], flags: [5, 'number', 0], pad: [6, 'ignored'] },
  connlimit: { count: [1, 'number'], flags: [2, 'number', 0] },
  reject: { type: [1, 'number'], code: [2, 'byte'] },
  counter: { bytes: [1, 'ignored'], packets: [2, 'ignored'], pad: [3, 'ignored'] },
  log: { prefix: [2, 'name'], level: [5, 'number', 4 /* warning */], flags: [6, 'number', 0] },
  notrack: {},
};

const byNumber = new Map(
  Object.entries(expressions).map(([name, attributes]) => [
    name,
    new Map(Object.entries(attributes).map(([attribute, [number, kind, unlessGiven]]) => [number, { attribute, kind, unlessGiven }])),
  ]),
);

const listElement = 1;
const expressionName = 1;
const expressionData = 2;
const dataValue = 1;
const dataVerdict = 2;
const verdictCode = 1;
const verdictChain = 2;

/** Writes the expressions as members of the list attribute that is open. */
export function writeExpressions(writer: MessageWriter, list: readonly Expression[]): void {
  for (const expression of list) writeExpression(writer, listElement, expression);
}

/** Writes one expression as a nested attribute with this number. */
export function writeExpression(writer: MessageWriter, number: number, { name, values }: Expression): void {
  const start = writer.openNest(number);
  writer.string(expressionName, name);
  const data = writer.openNest(expressionData);
  const attributes = expressions[name] ?? {};
  const unknown = Object.keys(values).find((attribute) => attributes[attribute] === undefined);
  if (unknown !== undefined) throw new RangeError(`the expression ${name} has no attribute ${unknown}`);
  // The attributes are written in the order of the list above, so that equal expressions have equal bytes.
  for (const attribute in attributes) {
    const [at, kind] = attributes[attribute] as Attribute;
    const value = values[attribute];
    if (value !== undefined) writeValue(writer, at, kind, value);
  }
  writer.closeNest(data);
  writer.closeNest(start);
}

function writeValue(writer: MessageWriter, number: number, kind: Kind, value: ExpressionValue): void {
  if (kind === 'data') writeData(writer, number, value);
  else if (typeof value === 'bigint') writer.be64(number, value);
  else if (typeof value === 'string') writer.string(number, value);
  else if (typeof value !== 'number') throw new RangeError(`bytes where ${kind} is meant`);
  else if (kind === 'byte') writer.u8(number, value);
  else writer.be32(number, value);
}

/** Writes bytes or a verdict (NFTA_DATA_*) as a nested attribute with this number. */
export function writeData(writer: MessageWriter, number: number, value: ExpressionValue): void {
  const start = writer.openNest(number);
  if (value instanceof Uint8Array) {
    writer.binary(dataValue, value);
  } else if (typeof value === 'object') {
    const verdict = writer.openNest(dataVerdict);
    writer.be32(verdictCode, value.code);
    if (value.chain !== undefined) writer.string(verdictChain, value.chain);
    writer.closeNest(verdict);
  }
  writer.closeNest(start);
}

/** Reads bytes or a verdict (NFTA_DATA_*); undefined when it is neither. */
export function readData(bytes: Uint8Array): Uint8Array | VerdictData | undefined {
  const value = findAttribute(bytes, 0, dataValue);
  if (value !== undefined) return value;
  const verdict = findAttribute(bytes, 0, dataVerdict);
  return verdict === undefined ? undefined : readVerdict(verdict);
}

function readVerdict(verdict: Uint8Array): VerdictData | undefined {
  const code = findAttribute(verdict, 0, verdictCode);
  const chain = findAttribute(verdict, 0, verdictChain);
  if (code === undefined) return undefined;
  return { code: readBe32(code) | 0, ...(chain === undefined ? {} : { chain: readString(chain) }) };
}

/**
 * Reads a rule's list of expressions and normalises it to the form that rules.ts gives: without defaults and counter values, and with registers numbered in words.
 * undefined when the list has something that this program never writes.
 */
export function readExpressions(list: Uint8Array): readonly Expression[] | undefined {
  const found: (Expression | undefined)[] = [];
  eachAttribute(list, 0, (_type, element) => found.push(readExpression(element)));
  return found.every((expression) => expression !== undefined) ? found : undefined;
}

/** Reads one expression as readExpressions does. */
export function readExpression(bytes: Uint8Array): Expression | undefined {
  const nameBytes = findAttribute(bytes, 0, expressionName);
  const name = nameBytes === undefined ? '' : readString(nameBytes);
  const data = findAttribute(bytes, 0, expressionData) ?? new Uint8Array();
  const known = byNumber.get(name);
  if (known === undefined) return undefined;
  const values: { [attribute: string]: ExpressionValue } = {};
  let understood = true;
  eachAttribute(data, 0, (number, bytes) => {
    const facts = known.get(number);
    const value = facts === undefined ? undefined : facts.kind === 'ignored' ? null : readValue(facts.kind, bytes);
    if (facts === undefined || value === undefined) understood = false;
    else if (value !== null && value !== facts.unlessGiven) values[facts.attribute] = value;
  });
  if (!understood) return undefined;
  return { name, values: name === 'nat' ? readNat(values) : name === 'masq' ? readMasquerade(values) : values };
}

function readValue(kind: Exclude<Kind, 'ignored'>, bytes: Uint8Array): ExpressionValue | undefined {
  switch (kind) {
    case 'register':
      return wordRegister(readBe32(bytes));
    case 'number':
      return readBe32(bytes);
    case 'wide':
      return readBe64(bytes);
    case 'byte':
      return bytes[0];
    case 'name':
      return readString(bytes);
    case 'data':
      return readData(bytes);
    default:
      return unreachable(kind);
  }
}

/** The number of a register in words: the registers 1 to 4, of 16 bytes each, are the words 8 to 23, four at a time; 0 is the verdict. */
const wordRegister = (register: number): number => (register >= 1 && register <= 4 ? 8 + (register - 1) * 4 : register);

/** Normalises a NAT expression. The kernel reports a single address or port as a range from it to itself, with the flags that follow from having one. */
function readNat(values: { readonly [attribute: string]: ExpressionValue }): { readonly [attribute: string]: ExpressionValue } {
  const { addressMax, portMax, flags, ...rest } = values;
  const otherFlags = typeof flags === 'number' ? flags & ~0x3 : 0;
  return {
    ...rest,
    ...(addressMax === undefined || addressMax === rest['addressMin'] ? {} : { addressMax }),
    ...(portMax === undefined || portMax === rest['portMin'] ? {} : { portMax }),
    ...(otherFlags === 0 ? {} : { flags: otherFlags }),
  };
}

/** Normalises a masquerade as `readNat` does; its flags are reported as they were given. */
function readMasquerade({ flags, ...values }: { readonly [attribute: string]: ExpressionValue }): { readonly [attribute: string]: ExpressionValue } {
  return { ...readNat(values), ...(flags === undefined ? {} : { flags }) };
}
