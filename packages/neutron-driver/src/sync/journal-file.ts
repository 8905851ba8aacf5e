// The file in which the journal's notes outlive the daemon. A line notes what stands open, or that it is done.
import { appendFileSync, closeSync, fsyncSync, openSync, readFileSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeDirectory } from '@calico-openstack/agent/make-directory';
import { parseJson } from '@calico-openstack/datamodel';
import { z } from 'zod';
import { type Change, changeKey, mergeChanges, portsOf } from './change.ts';

const slot = z.object({ host: z.string(), device: z.string() });
/** How a note of each kind reads back: a kind without a reader is an error of the compiler's. */
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
  /** Writes a line. @throws when it cannot be written: then the file is written anew before the next line */
  record(entry: Line): void;
  /** Writes a line if that is possible. After a commit nothing is gained by refusing: what cannot be written stays in memory, and comes into the file as soon as that can be written. */
  recordIfPossible(entry: Line): void;
  close(): void;
}

/** What becomes of trouble with the file. */
export type JournalFileEvents = {
  /** Called when the file cannot be written; not again until it could be. */
  readonly onUnwritable: (error: unknown) => void;
  readonly onRecovered: () => void;
};

/** The file is written anew, with what stands open, when it has grown by so many lines. */
const compactLines = 20_000;

/** The file of a journal that is in memory alone. */
export const noJournalFile: JournalFile = { record: () => {}, recordIfPossible: () => {}, close: () => {} };

/**
 * Opens the file, and writes it anew with what stands open. Its directory is made where it is missing.
 * @param open all that stands open, by key, as it is whenever the file is written anew
 * @throws the system's error when the file cannot be written
 */
export function openJournalFile(
  path: string,
  open: ReadonlyMap<string, { readonly change: Change }>,
  { onUnwritable, onRecovered }: JournalFileEvents,
): JournalFile {
  let descriptor: number | undefined;
  let lines = 0;
  /** The file lacks something, or ends in half a line: it is written anew before anything is added. */
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

  // Not forced to the disk: a killed process loses nothing, and after a crash of the machine the start-up resync checks everything.
  function record(entry: Line): void {
    if (descriptor === undefined) return;
    if (isBehind || (lines > compactLines && lines > 4 * open.size)) rewrite();
    try {
      appendFileSync(descriptor, `${JSON.stringify(entry)}\n`);
    } catch (error) {
      isBehind = true; // half a line may be there: the next one would be lost with it
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

/** What stands open in a file, read without opening it as a journal, and how many of its lines cannot be read. No file: nothing. */
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

/** undefined: cut short. */
function jsonOf(text: string): unknown {
  const json = parseJson(text);
  return json.ok ? json.value : undefined;
}
