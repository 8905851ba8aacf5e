// The journal's file, in which open changes outlive the daemon. A line records an open change, or that one is done.
import { appendFileSync, closeSync, fsyncSync, openSync, readFileSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeDirectory } from '@calico-openstack/agent/make-directory';
import { parseJson } from '@calico-openstack/datamodel';
import { z } from 'zod';
import { type Change, changeKey, mergeChanges, portsOf } from './change.ts';

const slot = z.object({ host: z.string(), device: z.string() });
/** The schema of each kind of change in the file. A kind without a schema does not compile. */
const storedChanges = {
  port: z.object({ kind: z.literal('port'), id: z.string(), slots: z.array(slot) }),
  subnet: z.object({ kind: z.literal('subnet'), id: z.string() }),
  security_group: z.object({ kind: z.literal('security_group'), id: z.string() }),
  address_group: z.object({ kind: z.literal('address_group'), id: z.string() }),
  ports_of: z.object({ kind: z.literal('ports_of'), of: z.enum(portsOf), id: z.string() }),
} satisfies { readonly [Kind in Change['kind']]: z.ZodType<Extract<Change, { readonly kind: Kind }>> };
const storedChange: z.ZodType<Change> = z.union(Object.values(storedChanges));
const line = z.union([z.object({ open: storedChange }), z.object({ done: z.string() })]);

/** A line of the file: a change that has to be checked, or the key (`changeKey`) of one that no longer has to. */
export type Line = z.infer<typeof line>;

/** The file of a journal that is open. */
export interface JournalFile {
  /** Writes a line. @throws the system's error when it cannot be written; then the whole file is rewritten before the next line */
  record(entry: Line): void;
  /** Writes a line if possible. After a commit, failing would gain nothing: a line that cannot be written stays in memory, and is written as soon as that is possible. */
  recordIfPossible(entry: Line): void;
  close(): void;
}

/** The callbacks for trouble with the file. */
export type JournalFileEvents = {
  /** Called when the file cannot be written, and not again until it could be written. */
  readonly onUnwritable: (error: unknown) => void;
  /** Called when the file can be written again. */
  readonly onRecovered: () => void;
};

/** The file is rewritten with the open changes alone when it has grown by this number of lines. */
const compactLines = 20_000;

/** The file of a journal that is in memory only. */
export const noJournalFile: JournalFile = { record: () => {}, recordIfPossible: () => {}, close: () => {} };

/**
 * Opens the file, and rewrites it with the open changes. A missing directory is created.
 * @param open the open changes by key; read whenever the file is rewritten
 * @throws the system's error when the file cannot be written
 */
export function openJournalFile(
  path: string,
  open: ReadonlyMap<string, { readonly change: Change }>,
  { onUnwritable, onRecovered }: JournalFileEvents,
): JournalFile {
  let descriptor: number | undefined;
  let lines = 0;
  /** Whether the file lacks a line or ends in half a line. Then it is rewritten before the next line. */
  let isBehind = false;
  let isReported = false;
  makeDirectory(dirname(path), 0o750);
  rewrite();

  function rewrite(): void {
    const next = `${path}.new`;
    const handle = openSync(next, 'w', 0o640);
    try {
      for (const { change } of open.values()) appendFileSync(handle, `${JSON.stringify({ open: change })}\n`);
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    renameSync(next, path);
    if (descriptor !== undefined) closeSync(descriptor);
    descriptor = openSync(path, 'a', 0o640);
    lines = 0;
    isBehind = false;
  }

  // Lines are not synced to the disk: a killed process loses nothing, and after a crash of the machine the resync at the start checks everything.
  function record(entry: Line): void {
    if (descriptor === undefined) return;
    if (isBehind || (lines > compactLines && lines > 4 * open.size)) rewrite();
    try {
      appendFileSync(descriptor, `${JSON.stringify(entry)}\n`);
    } catch (error) {
      isBehind = true; // the file may end in half a line, which would spoil the next one
      throw error;
    }
    lines += 1;
  }

  return {
    record,
    recordIfPossible(entry) {
      try {
        record(entry);
        if (isReported) onRecovered();
        isReported = false;
      } catch (error) {
        isBehind = true;
        if (!isReported) onUnwritable(error);
        isReported = true;
      }
    },
    close() {
      if (descriptor !== undefined) closeSync(descriptor);
      descriptor = undefined;
    },
  };
}

/** Reads the open changes from a file without opening it as a journal, and counts the lines that cannot be read. Without a file, there are none. @throws the system's error when an existing file cannot be read */
export function readOpen(file: string): { readonly open: readonly Change[]; readonly unreadable: number } {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { open: [], unreadable: 0 };
    throw error;
  }
  const open = new Map<string, Change>();
  let unreadable = 0;
  for (const entry of text.split('\n')) {
    const parsed = line.safeParse(jsonOf(entry)).data;
    if (!parsed) unreadable += entry === '' ? 0 : 1;
    else if ('done' in parsed) open.delete(parsed.done);
    else {
      const change = parsed.open;
      open.set(changeKey(change), mergeChanges(open.get(changeKey(change)), change));
    }
  }
  return { open: [...open.values()], unreadable };
}

/** Parses a line as JSON; undefined when it was cut short. */
function jsonOf(text: string): unknown {
  const json = parseJson(text);
  return json.ok ? json.value : undefined;
}
