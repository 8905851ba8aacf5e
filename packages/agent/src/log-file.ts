// The file that a log goes to. Each line is written at once, so that nothing is lost when the agent is killed.
import { closeSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileReason, StartError } from './errors.ts';
import { makeDirectory } from './make-directory.ts';

/** An open log file. Writing and reopening never throw. */
export interface LogFile {
  readonly path: string;
  /** Appends a line, which has its line end. A line that cannot be written is kept and written later, or lost when too much is kept already. */
  write(line: string): void;
  /** Opens the path again, after a rotation. When that fails, lines still go to the file that was open. */
  reopen(): void;
  close(): void;
}

/** How much is kept while the file cannot be written, such as on a full disk. Lines beyond that are lost, because a log must not use up the agent's memory. */
const keptBytes = 1024 * 1024;
const complaintPauseMs = 60_000;

/**
 * Opens a file to append to. A missing directory is created.
 * @param write writes bytes to a descriptor and returns how many it wrote; throws when the disk is full
 * @throws StartError LOG_UNUSABLE when it cannot be opened
 */
export function openLogFile(path: string, write: (descriptor: number, bytes: Uint8Array) => number = writeSync): LogFile {
  const open = (): number => openSync(path, 'a', 0o644);
  let descriptor: number;
  try {
    makeDirectory(dirname(path));
    descriptor = open();
  } catch (error) {
    throw new StartError('LOG_UNUSABLE', `cannot write the log file ${path}: ${fileReason(error)}; name another file, or none, in the configuration`, {
      cause: error,
    });
  }
  let unwritten = Buffer.alloc(0);
  let complainedMs = Number.NEGATIVE_INFINITY;

  /** Reports on standard error, at most once a minute, that the log cannot be written. The agent goes on. */
  function complain(error: unknown): void {
    if (performance.now() - complainedMs < complaintPauseMs) return;
    complainedMs = performance.now();
    process.stderr.write(`cannot write the log file ${path}: ${(error as Error).message}; lines may be lost\n`);
  }

  return {
    path,
    write(line) {
      const bytes = Buffer.from(line);
      if (unwritten.length + bytes.length <= keptBytes) unwritten = unwritten.length === 0 ? bytes : Buffer.concat([unwritten, bytes]);
      try {
        while (unwritten.length > 0) unwritten = unwritten.subarray(write(descriptor, unwritten));
      } catch (error) {
        complain(error);
      }
    },
    reopen() {
      try {
        const fresh = open();
        closeSync(descriptor);
        descriptor = fresh;
      } catch (error) {
        complain(error);
      }
    },
    close: () => closeSync(descriptor),
  };
}
