// Reads the chains of other programs through which packets pass, in slices between which the rest of the program runs.
import { eachAttribute, findAttribute, flag, readAttributes, readBe32, readString, readU16, requestMessage } from '../netlink/attributes.ts';
import { DumpRefused, DumpSocket } from '../netlink/dump.ts';
import { inNamespace } from '../netlink/namespace.ts';
import { netlinkProtocol, openNetlinkDescriptor } from '../netlink/socket.ts';
import { decodeTable } from './decode.ts';
import { readData, type VerdictData } from './expressions.ts';
import {
  dropsAll,
  hostU32,
  type OrdinaryField,
  type OrdinaryPacket,
  type OtherSet,
  type OtherStatement,
  type OtherTable,
  type OtherVerdict,
  type Truth,
} from './other-verdicts.ts';
import * as nft from './protocol.ts';

/** The family of a table through which IP packets pass. */
export type IpTableFamily = 'inet' | 'ip' | 'ip6';
/** A hook that packets of workloads pass. */
export type PassedHook = 'prerouting' | 'input' | 'forward' | 'postrouting';

/** A base chain of another program. */
export type OtherChain = { readonly family: IpTableFamily; readonly table: string; readonly chain: string; readonly hook: PassedHook };

/** The chains of other programs, as they were read. */
export interface OtherChains {
  /** The first chain at one of these hooks that drops this packet whatever its address is; undefined when there is none. @param family the IP version of the packet */
  dropping(hooks: readonly PassedHook[], family: 4 | 6, packet: OrdinaryPacket): OtherChain | undefined;
  /** All names and patterns with which rules compare the names of links. Links that match the same ones get the same answer. */
  readonly linkNames: readonly Uint8Array[];
  /** Whether rules compare indices of links, so that each link needs an answer of its own. */
  readonly compareIndices: boolean;
}

type Base = OtherChain & { readonly policy: 'accept' | 'drop' };

const families = new Map<number, IpTableFamily>([
  [nft.familyNumber.inet, 'inet'],
  [nft.familyNumber.ip, 'ip'],
  [nft.familyNumber.ip6, 'ip6'],
]);
const passedHooks: readonly PassedHook[] = ['prerouting', 'input', 'forward', 'postrouting'];
const versionOf = { inet: [4, 6], ip: [4], ip6: [6] } as const;

/**
 * Reads them in the calling thread's network namespace, or in `namespace`.
 * @param isOurs whether a table is this program's own, and left out
 * @throws NetlinkError when the kernel does not answer
 */
export async function readOtherChains(isOurs: (table: string) => boolean, namespace?: string): Promise<OtherChains> {
  const open = (): number => openNetlinkDescriptor(netlinkProtocol.netfilter);
  const socket = new DumpSocket(namespace === undefined ? open() : inNamespace(namespace, open));
  try {
    return await new Reading(socket).read(isOurs);
  } finally {
    socket.close();
  }
}

/** A table while it is read. */
type PartialTable = {
  readonly family: IpTableFamily;
  readonly name: string;
  readonly chains: Map<string, OtherStatement[][]>;
  readonly sets: Map<string, OtherSet>;
};

class Reading {
  readonly #socket: DumpSocket;
  #sequence = 0;
  readonly #linkNames: Uint8Array[] = [];
  #compareIndices = false;

  constructor(socket: DumpSocket) {
    this.#socket = socket;
  }

  async read(isOurs: (table: string) => boolean): Promise<OtherChains> {
    const dormant = new Set<string>();
    await this.#dump(nft.message.getTable, 0, [], (family, payload) => {
      if (!decodeTable(payload)) dormant.add(`${family} ${textOf(payload, nft.table.name)}`);
    });
    const bases: Base[] = [];
    await this.#dump(nft.message.getChain, 0, [], (number, payload) => {
      const base = readBase(number, payload);
      if (base && !isOurs(base.table) && !dormant.has(`${number} ${base.table}`)) bases.push(base);
    });
    const tables = new Map<string, PartialTable>();
    for (const { family, table } of bases) {
      const key = `${family} ${table}`;
      if (!tables.has(key)) tables.set(key, await this.#readTable(family, table));
    }
    return {
      linkNames: this.#linkNames,
      compareIndices: this.#compareIndices,
      dropping: (hooks, version, packet) =>
        bases.find(
          ({ family, table, chain, hook, policy }) =>
            hooks.includes(hook) &&
            (versionOf[family] as readonly number[]).includes(version) &&
            dropsAll(tables.get(`${family} ${table}`) as OtherTable, chain, policy, packet),
        ),
    };
  }

  async #readTable(family: IpTableFamily, name: string): Promise<PartialTable> {
    const table: PartialTable = { family, name, chains: new Map(), sets: new Map() };
    const wanted = new Set<string>();
    await this.#dump(nft.message.getRule, nft.familyNumber[family], [[nft.rule.table, name]], (number, payload) => {
      // Kernels before 4.17 do not filter a dump.
      if (families.get(number) !== family || textOf(payload, nft.rule.table) !== name) return;
      const statements = readStatements(findAttribute(payload, nft.headerLength, nft.rule.expressions) ?? new Uint8Array());
      for (const statement of statements) this.#note(statement, wanted);
      const chain = textOf(payload, nft.rule.chain);
      const rules = table.chains.get(chain) ?? [];
      rules.push(statements);
      table.chains.set(chain, rules);
    });
    for (const set of wanted) {
      const elements = await this.#readSet(family, name, set);
      if (elements) table.sets.set(set, elements);
    }
    for (const rules of table.chains.values())
      for (const rule of rules)
        for (const statement of rule)
          if (statement.is === 'lookup' && isLinkName(statement.field)) for (const { key } of table.sets.get(statement.set) ?? []) this.#linkNames.push(key);
    return table;
  }

  /** Records the names with which a statement compares links, and the set that it uses if the result of the lookup can be known. */
  #note(statement: OtherStatement, wanted: Set<string>): void {
    if (statement.is !== 'compare' && statement.is !== 'lookup') return;
    if (statement.field === 'iif' || statement.field === 'oif') this.#compareIndices = true;
    if (statement.is === 'compare' && isLinkName(statement.field)) this.#linkNames.push(statement.value);
    if (statement.is === 'lookup' && (statement.field !== undefined || statement.gives === 'verdict')) wanted.add(statement.set);
  }

  /** The elements of a set; undefined when the set has ranges, or too many elements to read. */
  async #readSet(family: IpTableFamily, table: string, set: string): Promise<OtherSet | undefined> {
    const elements: { key: Uint8Array; verdict?: OtherVerdict }[] = [];
    let isPlain = true;
    const attributes = [
      [nft.elements.table, table],
      [nft.elements.set, set],
    ] as const;
    await this.#dump(nft.message.getElements, nft.familyNumber[family], attributes, (_, payload) => {
      const list = findAttribute(payload, nft.headerLength, nft.elements.list);
      if (!list || !isPlain) return;
      eachAttribute(list, 0, (_type, each) => {
        const facts = readAttributes(each);
        const key = facts.get(nft.element.key);
        const keyData = key && readData(key);
        const data = facts.get(nft.element.data);
        const verdict = data && readData(data);
        const flags = facts.get(nft.element.flags);
        if (!(keyData instanceof Uint8Array) || facts.has(nft.element.keyEnd) || (flags && readBe32(flags) !== 0)) isPlain = false;
        else elements.push({ key: Uint8Array.from(keyData), ...(verdict && !(verdict instanceof Uint8Array) && { verdict: verdictOf(verdict) }) });
      });
      if (elements.length > mostElements) isPlain = false;
    });
    return isPlain ? elements : undefined;
  }

  async #dump(
    message: number,
    family: number,
    attributes: readonly (readonly [number, string])[],
    visit: (family: number, payload: Uint8Array) => void,
  ): Promise<void> {
    this.#sequence += 1;
    const request = requestMessage(nft.messageType(message), flag.dump, this.#sequence, nft.header(family), (writer) => {
      for (const [type, text] of attributes) writer.string(type, text);
    });
    try {
      await this.#socket.read(request, (buffer, start, end) => visit(buffer[start]!, buffer.subarray(start, end)));
    } catch (error) {
      if (!(error instanceof DumpRefused) || error.code !== 'ENOENT') throw error; // the set was deleted meanwhile
    }
  }
}

/** Sets with more elements than this are not read. Rules about interfaces and states have small sets. */
const mostElements = 4096;

const isLinkName = (field: OrdinaryField | undefined): boolean => field === 'iifname' || field === 'oifname';

function textOf(payload: Uint8Array, attribute: number): string {
  const value = findAttribute(payload, nft.headerLength, attribute);
  return value ? readString(value) : '';
}

function readBase(familyNumber: number, payload: Uint8Array): Base | undefined {
  const family = families.get(familyNumber);
  const attributes = readAttributes(payload, nft.headerLength);
  const hookBytes = attributes.get(nft.chain.hook);
  const type = attributes.get(nft.chain.type);
  if (!family || !hookBytes || !type || readString(type) !== 'filter') return undefined;
  const number = findAttribute(hookBytes, 0, nft.chainHook.number);
  const hook = number && nft.hookName(family, readBe32(number));
  if (!hook || !(passedHooks as readonly string[]).includes(hook)) return undefined;
  const policy = attributes.get(nft.chain.policy);
  return {
    family,
    table: textOf(payload, nft.chain.table),
    chain: textOf(payload, nft.chain.name),
    hook: hook as PassedHook,
    policy: policy && readBe32(policy) === nft.policyNumber.drop ? 'drop' : 'accept',
  };
}

/** NF_DROP, NF_ACCEPT, NFT_JUMP, NFT_GOTO, NFT_RETURN. Any other verdict that ends a rule (a queue) may let the packet pass. */
function verdictOf({ code, chain = '' }: VerdictData): OtherVerdict {
  if (code === -1 || code === -2) return { is: 'else' };
  if (code === -3) return { is: 'jump', chain };
  if (code === -4) return { is: 'goto', chain };
  return { is: code === -5 ? 'return' : code === 0 ? 'drop' : 'accept' };
}

/** The content of a register: a known field, and the mask of the bits that are kept of it. */
type Held = { readonly field: OrdinaryField | undefined; readonly mask?: Uint8Array };

const metaFields: { readonly [key: number]: OrdinaryField } = { 1: 'protocol', 4: 'iif', 5: 'oif', 6: 'iifname', 7: 'oifname', 15: 'nfproto', 16: 'l4proto' };
const ctFields: { readonly [key: number]: OrdinaryField } = { 0: 'ctState', 1: 'ctDirection', 2: 'ctStatus' };
/** The known fields of headers, by base, offset and length: the protocol in an IPv4 and in an IPv6 header, ports, and the type of ICMP. */
const payloadFields: { readonly [place: string]: OrdinaryField } = {
  '1 9 1': 'l4proto',
  '1 6 1': 'l4proto',
  '2 0 2': 'sport',
  '2 2 2': 'dport',
  '2 0 1': 'icmpType',
};

/** Expressions that match nothing and load nothing. */
const idle = new Set(['counter', 'log', 'notrack', 'masq', 'nat', 'redir', 'objref', 'last', 'flow_offload', 'dup', 'tproxy']);

/** Reads a rule's expressions one after the other, with the registers that they pass on. */
function readStatements(list: Uint8Array): OtherStatement[] {
  const statements: OtherStatement[] = [];
  const registers = new Map<number, Held>();
  eachAttribute(list, 0, (_type, each) => {
    const nameBytes = findAttribute(each, 0, 1);
    const name = nameBytes ? readString(nameBytes) : '';
    const values = readAttributes(findAttribute(each, 0, 2) ?? new Uint8Array());
    const number = (attribute: number): number | undefined => {
      const bytes = values.get(attribute);
      return bytes && readBe32(bytes);
    };
    readStatement(name, values, number, registers, statements);
  });
  return statements;
}

function readStatement(
  name: string,
  values: ReadonlyMap<number, Uint8Array>,
  number: (attribute: number) => number | undefined,
  registers: Map<number, Held>,
  statements: OtherStatement[],
): void {
  const held = (attribute: number): Held => registers.get(wordOf(number(attribute) ?? 0)) ?? { field: undefined };
  const load = (attribute: number, what: Held): void => void registers.set(wordOf(number(attribute) ?? 0), what);
  const data = (attribute: number): Uint8Array | VerdictData | undefined => {
    const bytes = values.get(attribute);
    const read = bytes && readData(bytes);
    return read instanceof Uint8Array ? Uint8Array.from(read) : read;
  };
  switch (name) {
    case 'meta':
      if (values.has(1)) load(1, { field: metaFields[number(2) ?? -1] });
      return;
    case 'ct':
      if (values.has(1)) load(1, { field: ctFields[number(2) ?? -1] });
      return;
    case 'payload':
      if (values.has(1)) load(1, { field: payloadFields[`${number(2)} ${number(3)} ${number(4)}`] });
      return;
    case 'bitwise': {
      const [source, mask, xor] = [held(1), data(4), data(5)];
      const isMask =
        (number(6) ?? 0) === 0 && mask instanceof Uint8Array && source.mask === undefined && !(xor instanceof Uint8Array && xor.some((byte) => byte !== 0));
      load(2, isMask ? { field: source.field, mask } : { field: undefined });
      return;
    }
    case 'cmp': {
      const value = data(3);
      const { field, mask } = held(1);
      if (value instanceof Uint8Array) statements.push({ is: 'compare', field, mask, operator: number(2) ?? 0, value });
      return;
    }
    case 'lookup': {
      const { field, mask } = held(2);
      const set = values.get(1);
      const destination = number(3);
      if (destination !== undefined && destination !== 0) load(3, { field: undefined });
      const gives = destination === undefined ? undefined : destination === 0 ? 'verdict' : 'other';
      statements.push({ is: 'lookup', field, mask, set: set ? readString(set) : '', inverted: ((number(5) ?? 0) & 1) !== 0, gives });
      return;
    }
    case 'immediate': {
      const value = data(2);
      if (value && !(value instanceof Uint8Array)) statements.push({ is: 'verdict', verdict: verdictOf(value) });
      else load(1, { field: undefined });
      return;
    }
    case 'reject':
      statements.push({ is: 'verdict', verdict: { is: 'drop' } });
      return;
    case 'queue':
      statements.push({ is: 'verdict', verdict: { is: 'accept' } });
      return;
    case 'target':
      readTarget(values, statements);
      return;
    case 'match':
      readMatch(values, statements);
      return;
    default:
      if (idle.has(name)) return;
      // An expression that is not known may match or not, and may have loaded a register.
      registers.clear();
      statements.push({ is: 'condition', holds: 'maybe' });
  }
}

/** The registers 1 to 4, of 16 bytes each, are the words 8 to 23, four at a time. */
const wordOf = (register: number): number => (register >= 1 && register <= 4 ? 8 + (register - 1) * 4 : register);

/** Reads NFTA_TARGET_NAME, a target of iptables. REJECT drops the packet, and a program behind NFQUEUE may let it pass. With any other target the packet goes on. */
function readTarget(values: ReadonlyMap<number, Uint8Array>, statements: OtherStatement[]): void {
  const name = values.get(1);
  const target = name ? readString(name) : '';
  if (target === 'REJECT') statements.push({ is: 'verdict', verdict: { is: 'drop' } });
  if (target === 'NFQUEUE') statements.push({ is: 'verdict', verdict: { is: 'accept' } });
}

/** NFTA_MATCH_NAME and NFTA_MATCH_INFO: a match of iptables. */
function readMatch(values: ReadonlyMap<number, Uint8Array>, statements: OtherStatement[]): void {
  const [name, info] = [values.get(1), values.get(3)];
  const match = name ? readString(name) : '';
  if (match === 'comment') return;
  statements.push({ is: 'condition', holds: match === 'conntrack' && info ? truthOfConntrack(info) : 'maybe' });
}

/** XT_CONNTRACK_STATE, alone and not inverted, matches states; the bit of a new connection is 8 (linux/netfilter/xt_conntrack.h, the struct of revisions 2 and 3). */
function truthOfConntrack(info: Uint8Array): Truth {
  const [matchFlagsAt, invertFlagsAt, stateMaskAt] = [146, 148, 150];
  if (info.length < stateMaskAt + 2) return 'maybe';
  if (readU16(info, matchFlagsAt) !== 1 || readU16(info, invertFlagsAt) !== 0) return 'maybe';
  return (readU16(info, stateMaskAt) & newConnection) !== 0 ? 'maybe' : 'no';
}

const newConnection = 8;

/** An ordinary first packet of a connection. @param protocol its number, such as 6 for TCP */
export const ordinaryPacket = (family: 4 | 6, protocol: number, more: OrdinaryPacket): OrdinaryPacket => ({
  nfproto: [Uint8Array.of(family === 4 ? 2 : 10)],
  protocol: [family === 4 ? Uint8Array.of(0x08, 0x00) : Uint8Array.of(0x86, 0xdd)],
  l4proto: [Uint8Array.of(protocol)],
  ctState: [hostU32(newConnection)],
  ctStatus: [hostU32(0)],
  ctDirection: [Uint8Array.of(0)],
  sport: [],
  dport: [],
  ...more,
});
