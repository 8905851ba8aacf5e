// Keeps a small file for each served port, so that the next agent serves the port from its start on, even while etcd does not answer. Files are written a moment later, many together, so no
// guest waits for the disk, and a port that is deleted soon causes no write.
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from '@calico-openstack/agent';

/** The storage of the files. `openPortTexts` keeps them on disk. */
export interface PortTexts {
  read(): ReadonlyMap<string, string>;
  write(tap: string, text: string): void;
  remove(tap: string): void;
  /** Writes what is still to be written. */
  close(): void;
}

/** After how long files are written, and after how long a refused write is retried. If the agent is killed before that, the next one serves the port only when etcd answers. */
const [laterMs, retryMs] = [20, 5000] as const;

/** The files in a directory, which is created when it is missing. A write that the disk refuses is logged once and retried; guests are served all the same. */
export function openPortTexts(directory: string, log: Logger): PortTexts {
  const pathOf = (tap: string): string => join(directory, tap);
  /** The texts to be written, by tap; undefined for a file to be removed. */
  const pending = new Map<string, string | undefined>();
  let waiting: ReturnType<typeof setTimeout> | undefined;
  let isRefused = false;
  mkdirSync(directory, { recursive: true });

  function change(tap: string, text: string | undefined): void {
    pending.set(tap, text);
    waiting ??= setTimeout(flush, laterMs);
  }

  function flush(): void {
    clearTimeout(waiting);
    waiting = undefined;
    try {
      mkdirSync(directory, { recursive: true });
      for (const [tap, text] of pending) {
        if (text === undefined) rmSync(pathOf(tap), { force: true });
        else replace(tap, text);
        pending.delete(tap);
      }
      isRefused = false;
    } catch (error) {
      if (!isRefused)
        log.error(
          { err: error, directory },
          'the disk refuses the files by which the next agent serves ports while etcd does not answer; this agent serves them all the same; retrying; free or remount the disk',
        );
      isRefused = true;
      waiting = setTimeout(flush, retryMs);
    }
  }

  function replace(tap: string, text: string): void {
    const temporary = pathOf(`.${tap}`);
    try {
      writeFileSync(temporary, text);
      renameSync(temporary, pathOf(tap));
    } catch (error) {
      rmSync(temporary, { force: true }); // an incomplete file would take up space on a full disk
      throw error;
    }
  }

  return {
    read: () =>
      new Map(
        readdirSync(directory, { withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map(({ name }) => [name, readFileSync(pathOf(name), 'utf8')]),
      ),
    write: change,
    remove: (tap) => change(tap, undefined),
    close() {
      if (pending.size > 0) flush();
      clearTimeout(waiting);
    },
  };
}
