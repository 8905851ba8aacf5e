// Decodes the kernel's messages about a table to objects that can be compared with the desired ones.
import { eachAttribute, readAttributes, readBe32, readString } from '../netlink/attributes.ts';
import { setDefinition } from './encode.ts';
import { readData, readExpression } from './expressions.ts';
import { readElementLimit } from './limit-expression.ts';
import type { DataType, ElementLimit, NftElement, NftSet, TableFamily } from './objects.ts';
import { printHook } from './print.ts';
import * as nft from './protocol.ts';
import { canonicalRule, readComment } from './rules.ts';
import { dataTypes, typeId, widthOf } from './types.ts';
import { readVerdictData } from './verdict-data.ts';

type Attributes = ReadonlyMap<number, Uint8Array>;
const nothing = new Uint8Array();
const number = (attributes: Attributes, type: number): number => {
  const value = attributes.get(type);
  return value === undefined ? 0 : readBe32(value);
};
const text = (attributes: Attributes, type: number): string => readString(attributes.get(type) ?? nothing);
const messageAttributes = (payload: Uint8Array): Attributes => readAttributes(payload, nft.headerLength);

/** The generation number of the ruleset. */
export const decodeGeneration = (payload: Uint8Array): number => number(messageAttributes(payload), nft.generation.id);

/** Whether the table is in force: false when it is switched off (dormant). */
export const decodeTable = (payload: Uint8Array): boolean => (number(messageAttributes(payload), nft.table.flags) & nft.tableFlag.dormant) === 0;

/** Decodes a chain of `table`; undefined for a chain of another table. `hook` is printHook's text: '' for a regular chain, 'unknown' for a hook that printHook cannot print. */
export function decodeChain(family: TableFamily, table: string, payload: Uint8Array): { readonly name: string; readonly hook: string } | undefined {
  const attributes = messageAttributes(payload);
  if (text(attributes, nft.chain.table) !== table) return undefined;
  // An anonymous chain of a rule, which is deleted with the rule.
  if ((number(attributes, nft.chain.flags) & nft.chainFlag.binding) !== 0) return undefined;
  return { name: text(attributes, nft.chain.name), hook: decodeHook(family, attributes) };
}

function decodeHook(family: TableFamily, attributes: Attributes): string {
  const bytes = attributes.get(nft.chain.hook);
  if (bytes === undefined) return '';
  const hook = readAttributes(bytes);
  const name = nft.hookName(family, number(hook, nft.chainHook.number));
  const type = text(attributes, nft.chain.type);
  if (name === undefined || (type !== 'filter' && type !== 'nat' && type !== 'route')) return 'unknown';
  const devices = decodeDevices(hook);
  if (devices.length > 1) return 'unknown';
  return printHook({
    type,
    hook: name,
    ...(devices[0] === undefined ? {} : { device: devices[0] }),
    priority: number(hook, nft.chainHook.priority) | 0,
    policy: number(attributes, nft.chain.policy) === nft.policyNumber.drop ? 'drop' : 'accept',
  });
}

function decodeDevices(hook: Attributes): string[] {
  const devices: string[] = [];
  eachAttribute(hook.get(nft.chainHook.devices) ?? nothing, 0, (_type, name) => devices.push(readString(name)));
  if (devices.length === 0 && hook.has(nft.chainHook.device)) devices.push(text(hook, nft.chainHook.device));
  return devices;
}

/** Decodes a rule: its chain, and the rule in encodeRule's form; undefined when it has something that this program never writes. */
export function decodeRule(payload: Uint8Array): { readonly chain: string; readonly rule: Uint8Array | undefined } {
  const attributes = messageAttributes(payload);
  return { chain: text(attributes, nft.rule.chain), rule: canonicalRule(attributes.get(nft.rule.expressions) ?? nothing, attributes.get(nft.rule.userData)) };
}

/** Decodes a set. `set` is undefined when NftSet cannot express it. Returns undefined for an anonymous set, which is deleted with its rule. */
export function decodeSet(payload: Uint8Array): { readonly name: string; readonly set: NftSet | undefined } | undefined {
  const attributes = messageAttributes(payload);
  const flags = number(attributes, nft.set.flags);
  if ((flags & nft.setFlag.anonymous) !== 0) return undefined;
  const name = text(attributes, nft.set.name);
  const key = decodeTypes(number(attributes, nft.set.keyType));
  const hasData = (flags & nft.setFlag.map) !== 0;
  const data = hasData ? decodeDataType(number(attributes, nft.set.dataType)) : undefined;
  if (key === undefined || (hasData && data === undefined)) return { name, set: undefined };
  const comment = readComment(attributes.get(nft.set.userData) ?? nothing, nft.setComment);
  const expression = attributes.get(nft.set.expression);
  const limit = expression && readLimit(expression);
  if (expression !== undefined && limit === undefined) return { name, set: undefined };
  const set: NftSet = {
    name,
    key,
    ...(data === undefined ? {} : { data }),
    ...((flags & nft.setFlag.interval) === 0 ? {} : { interval: true }),
    ...(limit === undefined ? {} : { limit }),
    ...(comment === undefined ? {} : { comment }),
  };
  return { name, set: isPlain(attributes, set) ? set : undefined };
}

/** Whether the set has nothing that NftSet cannot express: timeouts, objects, several expressions, a size, ranges in concatenations. */
function isPlain(attributes: Attributes, set: NftSet): boolean {
  const definition = setDefinition(set);
  const others = [nft.set.policy, nft.set.timeout, nft.set.objectType, nft.set.expressions].some((attribute) => attributes.has(attribute));
  const description = readAttributes(attributes.get(nft.set.description) ?? nothing);
  const sized = description.has(nft.descriptionSize) || (set.interval && description.has(nft.descriptionConcatenation));
  const lengths =
    number(attributes, nft.set.keyLength) === definition.keyLength &&
    (set.data === 'verdict' || number(attributes, nft.set.dataLength) === definition.dataLength);
  return number(attributes, nft.set.flags) === definition.flags && lengths && !others && !sized;
}

function readLimit(bytes: Uint8Array): ElementLimit | undefined {
  const expression = readExpression(bytes);
  return expression && readElementLimit(expression);
}

/** Whether an element has the limit that its set defines. */
function hasItsLimit({ limit }: NftSet, expression: Uint8Array | undefined): boolean {
  const own = expression && readLimit(expression);
  if (limit === undefined || own === undefined) return limit === undefined && expression === undefined;
  return own.rate === limit.rate && own.unit === limit.unit && own.burst === limit.burst;
}

const typesById = new Map(dataTypes.map((type) => [typeId(type), type]));

function decodeTypes(id: number): DataType[] | undefined {
  const types: DataType[] = [];
  for (let rest = id; rest !== 0; rest >>>= 6) {
    const type = typesById.get(rest & 0x3f);
    if (type === undefined) return undefined;
    types.unshift(type);
  }
  return types.length === 0 ? undefined : types;
}

const decodeDataType = (id: number): DataType | 'verdict' | undefined => (id === nft.dataTypeVerdict ? 'verdict' : typesById.get(id));

/** An element, or half a range: the kernel lists a range as two elements, a start and an end. `strange` means that it has an attribute that no element of ours has. */
export type RawElement = { readonly element: NftElement; readonly isEnd: boolean; readonly strange: boolean };

/** Decodes the elements in one message of a listing. */
export function decodeElements(set: NftSet, payload: Uint8Array): RawElement[] {
  const found: RawElement[] = [];
  eachAttribute(payload, nft.headerLength, (type, list) => {
    if (type === nft.elements.list) eachAttribute(list, 0, (_type, bytes) => found.push(decodeElement(set, bytes)));
  });
  return found;
}

function decodeElement(set: NftSet, bytes: Uint8Array): RawElement {
  let key: Uint8Array = nothing;
  let data: ReturnType<typeof readData>;
  let flags = 0;
  let strange = false;
  let expression: Uint8Array | undefined;
  eachAttribute(bytes, 0, (type, value) => {
    if (type === nft.element.key) key = plainKey(set, value);
    else if (type === nft.element.data) data = readData(value);
    else if (type === nft.element.flags) flags = readBe32(value);
    else if (type === nft.element.expression) expression = value;
    else if (type !== nft.element.userData) strange = true;
  });
  const verdict = data === undefined || data instanceof Uint8Array ? undefined : readVerdictData(data);
  return {
    element: { key, ...(data instanceof Uint8Array ? { data } : {}), ...(verdict === undefined ? {} : { verdict }) },
    isEnd: (flags & nft.elementIntervalEnd) !== 0,
    strange: strange || !hasItsLimit(set, expression) || (flags & ~nft.elementIntervalEnd) !== 0,
  };
}

/** The key without the padding that the kernel has between its parts. */
function plainKey(set: NftSet, attribute: Uint8Array): Uint8Array {
  const padded = readData(attribute);
  if (!(padded instanceof Uint8Array)) return nothing;
  if (set.key.length === 1) return padded;
  let at = 0;
  const parts = set.key.map((type) => {
    const from = at;
    at += (widthOf(type) + 3) & ~3;
    return padded.subarray(from, from + widthOf(type));
  });
  return Buffer.concat(parts);
}

/**
 * Puts the elements of a set together from all messages, sorted by key. In an interval set, starts and ends are paired; an end without a start (nft puts one before the first
 * range) is skipped. A strange element keeps its key and gets data that no wanted element has, so that it is replaced.
 */
export function assembleElements(set: NftSet, raw: readonly RawElement[]): NftElement[] {
  const plain = raw.map(({ element, strange }) => (strange ? { key: element.key, data: nothing } : element));
  if (!set.interval) return plain;
  const order = raw.map((_, at) => at).sort((one, other) => compareRaw(raw[one] as RawElement, raw[other] as RawElement));
  const ranges: NftElement[] = [];
  order.forEach((at, place) => {
    if (raw[at]?.isEnd) return;
    const next = raw[order[place + 1] ?? -1];
    const start = plain[at] as NftElement;
    // A range without an end reaches to the next start, or to the last possible key.
    const keyEnd = next === undefined ? new Uint8Array(start.key.length).fill(255) : keyBefore(next.element.key);
    ranges.push(Buffer.compare(keyEnd, start.key) === 0 ? start : { ...start, keyEnd });
  });
  return ranges;
}

/** Compares by key, for `sort`. Where one range ends at the start of the next, the end comes first. */
function compareRaw(one: RawElement, other: RawElement): number {
  return Buffer.compare(one.element.key, other.element.key) || Number(other.isEnd) - Number(one.isEnd);
}

function keyBefore(end: Uint8Array): Uint8Array {
  const key = Uint8Array.from(end);
  for (let at = key.length - 1; at >= 0; at--) {
    const byte = key[at] ?? 0;
    key[at] = (byte - 1) & 0xff;
    if (byte !== 0) break;
  }
  return key;
}

/** Decodes a stateful object, for example a named counter. */
export const decodeObject = (payload: Uint8Array): { readonly table: string; readonly name: string; readonly kind: number } => {
  const attributes = messageAttributes(payload);
  return { table: text(attributes, nft.object.table), name: text(attributes, nft.object.name), kind: number(attributes, nft.object.type) };
};
