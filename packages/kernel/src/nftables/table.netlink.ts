// A table in the kernel, programmed over netlink.
import { flag, type MessageWriter, requestMessage } from '../netlink/attributes.ts';
import { inNamespace } from '../netlink/namespace.ts';
import { type NetlinkMessage, type NetlinkSocket, netlinkProtocol, openNetlinkSocket } from '../netlink/socket.ts';
import { assembleElements, decodeChain, decodeElements, decodeGeneration, decodeObject, decodeRule, decodeSet, decodeTable } from './decode.ts';
import { encodeBatch } from './encode.ts';
import type { NftElement, NftSet, TableFamily } from './objects.ts';
import { elementId, type Held, type HeldSet, type Operation } from './operations.ts';
import { printDefinition } from './print.ts';
import { createTableProgrammer, type TableKernel } from './programmer.ts';
import * as nft from './protocol.ts';
import { NftablesError, type NftRefusal, type TableProgrammer } from './table.ts';

type Open = {
  /** Closes the socket. The table stays. */
  close(): void;
  /** The netlink port id of our transactions, by which watchRuleset recognises them; undefined before the first `apply`. */
  readonly portId: () => number | undefined;
  /** Whether the kernel has a table of this name that is not switched off, with any content. Cheap. */
  readonly exists: () => boolean;
  /** Whether the table exists in the kernel, and this chain has rules. Cheap. */
  readonly hasRules: (chain: string) => boolean;
  /** The elements of the set with this name and definition in the kernel; none when there is no such set. */
  readonly elementsOf: (set: NftSet) => Iterable<NftElement>;
};
/** A programmer of a table in the kernel. */
export type OpenTable = TableProgrammer & Open;
/** Reads a table and commits operations, without wanted content. */
export type OpenTableKernel = TableKernel & Open;

/**
 * `owned`: while the table is open here, nobody else may change or delete it, not even by flushing the whole ruleset. When it is closed, or this process is killed, the table stays,
 * and the next to open it owns it. On kernels before 6.9, and for an existing table that was created without an owner, the table is not owned.
 */
export type TableOptions = { readonly owned?: boolean };

/** How often a table is read again when it changes while it is read. */
const readingAttempts = 20;

/**
 * A programmer of the table `name`, which need not exist yet, in the calling thread's network namespace or in `namespace` (see `inNamespace`). Nothing is read or changed before
 * the first `apply`. `apply` throws NetlinkError when it is not known what the kernel did; the next one then starts with a reading.
 */
export function openTable(family: TableFamily, name: string, namespace?: string, options: TableOptions = {}): OpenTable {
  const kernel = openTableKernel(family, name, namespace, options);
  return Object.assign(createTableProgrammer(family, name, kernel), {
    close: () => kernel.close(),
    portId: kernel.portId,
    exists: kernel.exists,
    hasRules: kernel.hasRules,
    elementsOf: kernel.elementsOf,
  });
}

/** Deletes a table if it exists. Throws NftablesError when the kernel refuses. */
export function deleteTable(family: TableFamily, name: string, namespace?: string): void {
  const kernel = openTableKernel(family, name, namespace);
  try {
    kernel.commit([{ verb: 'add table' }, { verb: 'delete table' }]);
  } finally {
    kernel.close();
  }
}

/** The kernel's side of `openTable`: reads a table, and commits operations as they are given. */
export function openTableKernel(family: TableFamily, name: string, namespace?: string, { owned = false }: TableOptions = {}): OpenTableKernel {
  const open = (): NetlinkSocket => openNetlinkSocket(netlinkProtocol.netfilter);
  const socket = namespace === undefined ? open() : inNamespace(namespace, open);
  const kernel = netlinkKernel(family, name, socket);
  return Object.assign(owned ? owningKernel(kernel) : kernel, { close: () => socket.close() });
}

/** Wraps a kernel so that it creates the table as its owner, or becomes the owner of a table without one. */
export function owningKernel(kernel: Omit<OpenTableKernel, 'close'>): Omit<OpenTableKernel, 'close'> {
  /** Whether the kernel supports owned tables, as far as is known. */
  let possible = true;
  /** Whether the owner of the existing table is known. */
  let settled = false;
  const asOwner = (operations: readonly Operation[]): readonly Operation[] =>
    operations.map((operation) => (possible && operation.verb === 'add table' ? { ...operation, owned: true } : operation));
  const isRefusal = (error: unknown, ...codes: readonly string[]): boolean => error instanceof NftablesError && codes.includes(error.code);

  function adopt(): void {
    if (!possible || settled) return;
    try {
      kernel.commit(asOwner([{ verb: 'add table' }]));
    } catch (error) {
      // The table was created without an owner, or another process owns it. In the latter case the kernel refuses the next change, and that is reported.
      if (!isRefusal(error, 'EOPNOTSUPP', 'EINVAL', 'EPERM')) throw error;
      if (isRefusal(error, 'EPERM')) return;
    }
    settled = true;
  }

  return {
    ...kernel,
    read() {
      if (kernel.exists()) adopt();
      return kernel.read();
    },
    commit(operations, generation) {
      const makes = operations.some(({ verb }) => verb === 'add table');
      try {
        const done = kernel.commit(asOwner(operations), generation);
        settled ||= makes;
        return done;
      } catch (error) {
        if (!makes || !possible || !isRefusal(error, 'EOPNOTSUPP', 'EINVAL')) throw error;
        possible = false;
        return kernel.commit(operations, generation);
      }
    },
  };
}

function commit(family: TableFamily, name: string, socket: NetlinkSocket, operations: readonly Operation[], generation?: number): { readonly bytes: number } {
  const batch = encodeBatch(family, name, operations, generation, () => socket.nextSequence());
  const refusals = socket.exchange([batch.bytes]).refusals.map(batch.describe);
  const [first, ...others] = refusals;
  if (first !== undefined) throw new NftablesError(sentence(family, name, first, others.length), [first, ...others]);
  return { bytes: batch.bytes.length };
}

function sentence(family: TableFamily, name: string, { code, object, detail }: NftRefusal, others: number): string {
  const why =
    detail !== undefined
      ? `${code}, ${detail}`
      : code === 'EPERM'
        ? 'EPERM: another process owns the table, or this process lacks the right to change rules (CAP_NET_ADMIN)'
        : code;
  return `the kernel refused to change table ${family} ${name} (nothing was changed): ${object}: ${why}${others > 0 ? `, and ${others} more` : ''}`;
}

/** Reads and commits over netlink. It is longer than 80 lines because it has one small function for each kind of object in the kernel's answers, all around one way to request them. */
function netlinkKernel(family: TableFamily, name: string, socket: NetlinkSocket): Omit<OpenTableKernel, 'close'> {
  let portId: number | undefined;

  /** Requests one object or a list. Returns an empty list when it does not exist. */
  function ask(message: number, flags: number, writeAttributes: (writer: MessageWriter) => void): readonly NetlinkMessage[] {
    const request = requestMessage(nft.messageType(message), flags, socket.nextSequence(), nft.header(nft.familyNumber[family]), writeAttributes);
    const { answers, refusals } = socket.exchange([request]);
    const refusal = refusals.find(({ code }) => code !== 'ENOENT');
    if (refusal !== undefined) {
      const told = { code: refusal.code, object: `table ${family} ${name}`, ...(refusal.detail === undefined ? {} : { detail: refusal.detail }) };
      throw new NftablesError(`cannot read table ${family} ${name}: the kernel answered ${[refusal.code, refusal.detail].filter(Boolean).join(', ')}`, [told]);
    }
    return answers;
  }

  const ofTable =
    (attribute: number): ((writer: MessageWriter) => void) =>
    (writer) =>
      writer.string(attribute, name);

  function generation(): number {
    const [answer] = ask(nft.message.getGeneration, flag.acknowledge, () => undefined);
    portId = answer?.portId;
    return answer === undefined ? 0 : decodeGeneration(answer.payload);
  }

  function readChains(): Held['chains'] {
    const chains = new Map<string, { readonly hook: string; readonly rules: (Uint8Array | undefined)[] }>();
    for (const { payload } of ask(nft.message.getChain, flag.dump, () => undefined)) {
      const chain = decodeChain(family, name, payload);
      if (chain !== undefined) chains.set(chain.name, { hook: chain.hook, rules: [] });
    }
    for (const { payload } of ask(nft.message.getRule, flag.dump, ofTable(nft.rule.table))) {
      const { chain, rule } = decodeRule(payload);
      chains.get(chain)?.rules.push(rule);
    }
    return chains;
  }

  function readSets(): Held['sets'] {
    const sets = new Map<string, HeldSet>();
    for (const { payload } of ask(nft.message.getSet, flag.dump, ofTable(nft.set.table))) {
      const found = decodeSet(payload);
      if (found === undefined) continue;
      const { set } = found;
      sets.set(
        found.name,
        set === undefined ? { definition: 'not ours', elements: new Map() } : { definition: printDefinition(set), elements: readElements(set) },
      );
    }
    return sets;
  }

  function readElements(set: NftSet): HeldSet['elements'] {
    const answers = ask(nft.message.getElements, flag.dump, (writer) => {
      writer.string(nft.elements.table, name);
      writer.string(nft.elements.set, set.name);
    });
    const elements = assembleElements(
      set,
      answers.flatMap(({ payload }) => decodeElements(set, payload)),
    );
    return new Map(elements.map((element) => [elementId(element), element]));
  }

  function readLeftovers(): Operation[] {
    const objects = ask(nft.message.getObject, flag.dump, ofTable(nft.object.table)).map(({ payload }) => decodeObject(payload));
    return objects.filter(({ table }) => table === name).map((object): Operation => ({ verb: 'delete object', object: object.name, kind: object.kind }));
  }

  /** Whether the table is in force: false when it is switched off, undefined when there is none. */
  function askTable(): boolean | undefined {
    const [found] = ask(nft.message.getTable, flag.acknowledge, ofTable(nft.table.name));
    return found && decodeTable(found.payload);
  }

  function readOnce(): Held {
    const before = generation();
    const table = askTable();
    if (table === undefined) return { generation: before, table: false, chains: new Map(), sets: new Map(), leftovers: [] };
    return { generation: before, table, chains: readChains(), sets: readSets(), leftovers: readLeftovers() };
  }

  function read(): Held {
    for (let attempt = 1; ; attempt++) {
      const held = readOnce();
      // After the last attempt the content is used as it was read. A transaction that does not fit is refused, and anything missed is found at the next distrust.
      if (attempt === readingAttempts || generation() === held.generation) return held;
    }
  }

  return {
    read,
    commit: (operations, held) => commit(family, name, socket, operations, held),
    portId: () => portId,
    exists: () => askTable() === true,
    hasRules: (chain) =>
      askTable() === true &&
      ask(nft.message.getRule, flag.dump, (writer) => {
        writer.string(nft.rule.table, name);
        writer.string(nft.rule.chain, chain);
      }).length > 0,
    elementsOf: (set) => readElements(set).values(),
  };
}
