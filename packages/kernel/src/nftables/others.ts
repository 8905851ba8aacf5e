// Checks chains in other programs' tables, and deletes whole tables.
import { eachAttribute, findAttribute, flag, MessageWriter, readString, requestMessage } from '../netlink/attributes.ts';
import { type NetlinkMessage, type NetlinkRefusal, type NetlinkSocket, netlinkProtocol, openNetlinkSocket } from '../netlink/socket.ts';
import { decodeChain, decodeTable } from './decode.ts';
import { readData } from './expressions.ts';
import type { TableFamily } from './objects.ts';
import * as nft from './protocol.ts';
import { NftablesError } from './table.ts';

/** A chain, named as nft names it. */
export type ChainName = { readonly family: TableFamily; readonly table: string; readonly chain: string };

/** Whether the kernel has this chain in the calling thread's network namespace, whichever program made it. @throws NetlinkError when the kernel does not answer */
export const chainExists = (family: TableFamily, table: string, chain: string): boolean =>
  withSocket((socket) => {
    const { answers } = ask(socket, nft.message.getChain, flag.acknowledge, family, (writer) => {
      writer.string(nft.chain.table, table);
      writer.string(nft.chain.name, chain);
    });
    return answers.length > 0;
  });

/** Whether a rule of `from` jumps or goes to the chain `to` of the same table, and the table is not dormant. @throws NetlinkError when the kernel does not answer */
export const chainLeadsTo = ({ family, table, chain }: ChainName, to: string): boolean =>
  withSocket((socket) => {
    const [found] = ask(socket, nft.message.getTable, flag.acknowledge, family, (writer) => writer.string(nft.table.name, table)).answers;
    if (found === undefined || !decodeTable(found.payload)) return false;
    const rules = ask(socket, nft.message.getRule, flag.dump, family, (writer) => {
      writer.string(nft.rule.table, table);
      writer.string(nft.rule.chain, chain);
    });
    // Kernels before 4.17 do not filter a dump, so the answer is filtered as well.
    return rules.answers.some(({ payload }) => textOf(payload, nft.rule.table) === table && textOf(payload, nft.rule.chain) === chain && leadsTo(payload, to));
  });

/** How long a packet may be in flight between the first and the last rule of a hook. It usually takes microseconds, and longer where a hypervisor stops the processor. */
const inFlightMs = 100;

type TableToDelete = { readonly family: TableFamily; readonly name: string };

/**
 * Deletes whole tables of the calling thread's network namespace, as far as they exist, in two transactions:
 *
 *   1. All chains of hooks are emptied. Packets that arrive from now on get the policy of these chains, which is `accept` in the tables that this project deletes.
 *   2. When no packet is in flight any more, the tables are deleted.
 *
 * One transaction would lose packets. While the kernel commits it, for microseconds or for milliseconds on a busy machine, hooks still lead to the old rules, but maps are empty already.
 * Packets find no verdict then, and most tables drop such packets. The same happens to a packet in flight that has found the old rules before.
 *
 * If the process is killed in between, the tables exist and decide nothing. This can be called again then.
 * @throws NftablesError when the kernel refuses; nothing was changed if it refuses the first transaction
 */
export async function deleteTables(tables: readonly TableToDelete[]): Promise<void> {
  const hooked = withSocket((socket) => tables.map((table) => ({ ...table, chains: hookedChains(socket, table) })).filter(({ chains }) => chains.length > 0));
  if (hooked.length > 0) {
    commit(hooked, ({ family, name, chains }, message) => {
      for (const chain of chains) {
        message(nft.message.deleteRule, flag.acknowledge, family, (writer) => {
          writer.string(nft.rule.table, name);
          writer.string(nft.rule.chain, chain);
        });
      }
    });
    await new Promise((resolve) => setTimeout(resolve, inFlightMs));
  }
  commit(tables, ({ family, name }, message) => {
    const named = (writer: MessageWriter): void => writer.string(nft.table.name, name);
    message(nft.message.newTable, flag.create, family, named); // so that a table that does not exist is not refused
    message(nft.message.deleteTable, flag.acknowledge, family, named);
  });
}

/** The chains of a table that hooks lead to. */
function hookedChains(socket: NetlinkSocket, { family, name }: TableToDelete): string[] {
  const { answers } = ask(socket, nft.message.getChain, flag.dump, family, () => undefined);
  return answers.flatMap(({ payload }) => {
    const chain = decodeChain(family, name, payload);
    return chain === undefined || chain.hook === '' ? [] : [chain.name];
  });
}

type WriteMessage = (kind: number, flags: number, family: TableFamily, writeAttributes: (writer: MessageWriter) => void) => void;

/** Commits the messages about some tables in one transaction. */
function commit<T extends TableToDelete>(tables: readonly T[], write: (table: T, message: WriteMessage) => void): void {
  if (tables.length === 0) return;
  withSocket((socket) => {
    const writer = new MessageWriter(1024);
    const message = (kind: number, flags: number, header: Uint8Array, writeAttributes?: (writer: MessageWriter) => void): void => {
      writer.begin(kind, flag.request | flags, socket.nextSequence());
      writer.raw(header);
      writeAttributes?.(writer);
      writer.end();
    };
    const ofBatch = nft.header(0, nft.subsystemNumber);
    message(nft.batchBegin, 0, ofBatch);
    for (const table of tables)
      write(table, (kind, flags, family, writeAttributes) => message(nft.messageType(kind), flags, nft.header(nft.familyNumber[family]), writeAttributes));
    message(nft.batchEnd, 0, ofBatch);
    const [refusal] = socket.exchange([writer.bytes()]).refusals;
    if (refusal) throw refused(tables.map(({ family, name }) => `table ${family} ${name}`).join(', '), refusal);
  });
}

function refused(object: string, { code, detail }: NetlinkRefusal): NftablesError {
  const why = code === 'EPERM' ? 'EPERM, another process owns one of them, or this one may not change rules' : [code, detail].filter(Boolean).join(', ');
  return new NftablesError(`the kernel refused to take away ${object} (nothing was changed): ${why}`, [{ code, object, ...(detail && { detail }) }]);
}

/** NFTA_EXPR_NAME and NFTA_EXPR_DATA; NFTA_IMMEDIATE_DATA. */
const expression = { name: 1, data: 2 } as const;
const immediateData = 2;

function leadsTo(payload: Uint8Array, to: string): boolean {
  const expressions = findAttribute(payload, nft.headerLength, nft.rule.expressions);
  let found = false;
  if (expressions)
    eachAttribute(expressions, 0, (_type, each) => {
      const [name, values] = [findAttribute(each, 0, expression.name), findAttribute(each, 0, expression.data)];
      if (!name || !values || readString(name) !== 'immediate') return;
      const bytes = findAttribute(values, 0, immediateData);
      const data = bytes && readData(bytes);
      found ||= data !== undefined && 'code' in data && data.chain === to;
    });
  return found;
}

function textOf(payload: Uint8Array, attribute: number): string {
  const value = findAttribute(payload, nft.headerLength, attribute);
  return value ? readString(value) : '';
}

/** The answers to a request; an empty list when the object does not exist. */
function ask(
  socket: NetlinkSocket,
  message: number,
  flags: number,
  family: TableFamily,
  writeAttributes: (writer: MessageWriter) => void,
): { readonly answers: readonly NetlinkMessage[] } {
  return socket.exchange([requestMessage(nft.messageType(message), flags, socket.nextSequence(), nft.header(nft.familyNumber[family]), writeAttributes)]);
}

function withSocket<T>(use: (socket: NetlinkSocket) => T): T {
  const socket = openNetlinkSocket(netlinkProtocol.netfilter);
  try {
    return use(socket);
  } finally {
    socket.close();
  }
}
