// A small file for each port that is served, so that the next agent serves it from its start on, even while etcd does not answer.
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The storage of the files. `openPortTexts` keeps them on disk. */
export interface PortTexts {
  read(): ReadonlyMap<string, string>;
  write(tap: string, text: string): void;
  remove(tap: string): void;
}

/** The files in a directory, which is created when it is missing. */
export function openPortTexts(directory: string): PortTexts {
  const pathOf = (tap: string): string => join(directory, tap);
  mkdirSync(directory, { recursive: true });
  return {
    read: () =>
      new Map(
        readdirSync(directory, { withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map(({ name }) => [name, readFileSync(pathOf(name), 'utf8')]),
      ),
    write(tap, text) {
      mkdirSync(directory, { recursive: true });
      const temporary = pathOf(`.${tap}`);
      try {
        writeFileSync(temporary, text);
        renameSync(temporary, pathOf(tap));
      } catch (error) {
        rmSync(temporary, { force: true });
        throw error;
      }
    },
    remove: (tap) => rmSync(pathOf(tap), { force: true }),
  };
}
