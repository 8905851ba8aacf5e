// BIRD's configuration file. It is replaced atomically, and never readable by everybody because it holds passwords.
import { constants } from 'node:fs';
import { type FileHandle, open, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** The file's text; undefined when there is no file. */
export async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** When the file was last written, in milliseconds since 1970; undefined when there is no file. */
async function writtenMs(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).mtimeMs;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** BIRD's configuration file, with all that the agent does with it. */
export interface ConfigurationFile {
  readonly path: string;
  /** undefined: there is none. */
  readText(): Promise<string | undefined>;
  /** When it was last written, in milliseconds since 1970; undefined: there is none. */
  writtenMs(): Promise<number | undefined>;
  /** Has the file count as written at this time: it is what it should be. */
  confirmWritten(nowMs: number): Promise<void>;
  draft(text: string): Promise<Draft>;
}

/** @param gid gives the group that may read the file, as `draft` takes it */
export const configurationFile = (path: string, gid: () => number | undefined): ConfigurationFile => ({
  path,
  readText: () => readText(path),
  writtenMs: () => writtenMs(path),
  confirmWritten: (nowMs) => utimes(path, nowMs / 1000, nowMs / 1000),
  draft: (text) => draft(path, text, gid()),
});

/** A written text that can take the file's place. */
export interface Draft {
  readonly path: string;
  /** Renames the draft to the file. */
  publish(): Promise<void>;
  discard(): Promise<void>;
}

/**
 * Writes a new text for `path` beside it, with mode 0640. The text is on disk when this resolves.
 * @param gid the group that may read it, which is BIRD's when BIRD does not run as root; undefined: the agent's own
 */
export async function draft(path: string, text: string, gid: number | undefined): Promise<Draft> {
  const directory = dirname(path);
  const temporary = join(directory, `.${basename(path)}.${process.pid}.new`);
  await removeDrafts(directory, basename(path));
  const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = constants;
  const handle = await open(temporary, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o600);
  const discard = (): Promise<void> => rm(temporary, { force: true });
  try {
    await fill(handle, text, gid);
  } catch (error) {
    await discard();
    throw error;
  }
  return {
    path: temporary,
    async publish() {
      await rename(temporary, path);
      const folder = await open(directory, 'r');
      await folder.sync().finally(() => folder.close());
    },
    discard,
  };
}

/** Removes drafts of agents that were killed while they wrote, because they hold passwords. */
async function removeDrafts(directory: string, name: string): Promise<void> {
  for (const entry of draftsAmong(await readdir(directory), name)) await rm(join(directory, entry), { force: true });
}

/** Of the names in a directory those that drafts of the file `name` have there. */
export const draftsAmong = (entries: readonly string[], name: string): readonly string[] =>
  entries.filter((entry) => entry.startsWith(`.${name}.`) && /^[0-9]+\.new$/.test(entry.slice(name.length + 2)));

async function fill(handle: FileHandle, text: string, gid: number | undefined): Promise<void> {
  try {
    // The group is set first: between the two steps it cannot read anything yet.
    if (gid !== undefined) await handle.chown(process.getuid?.() ?? 0, gid);
    await handle.chmod(0o640);
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
