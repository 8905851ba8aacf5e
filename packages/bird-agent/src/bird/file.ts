// BIRD's configuration file. It is replaced atomically, and never readable by everybody because it holds passwords.
import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, open, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

async function readBytes(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The file's text; undefined when there is no file. */
export async function readText(path: string): Promise<string | undefined> {
  const bytes = await readBytes(path);
  return bytes && Buffer.from(bytes).toString();
}

/** A present or desired content of the file, in parts. A content that the agent has printed has its revision, a digest of the parts. */
export type Content = { readonly parts: readonly Uint8Array[]; readonly revision?: string };

/** Whether two contents are the same. Contents that the agent has printed are compared by their revisions. */
export function isSameContent(one: Content, other: Content): boolean {
  if (one.revision !== undefined && other.revision !== undefined) return one.revision === other.revision;
  return Buffer.concat(one.parts).equals(Buffer.concat(other.parts));
}

/** BIRD's configuration file, with all that the agent does with it. */
export interface ConfigurationFile {
  readonly path: string;
  /** The file's text; undefined when there is no file. */
  read(): Promise<Content | undefined>;
  /** When the file was last written, in milliseconds since 1970; undefined when there is no file. */
  writtenMs(): Promise<number | undefined>;
  /** Sets the file's time to this one, because its present content is confirmed as desired. */
  confirmWritten(nowMs: number): Promise<void>;
  draft(content: Content): Promise<Draft>;
}

/**
 * The file at this path.
 * @param gid returns the group that may read it, as for `draft`
 */
export function configurationFile(path: string, gid: () => number | undefined): ConfigurationFile {
  /** The content as it was last read or written, and the file's state then, so that a file of a megabyte is not read again while it is unchanged. */
  let known: { readonly state: string; readonly content: Content } | undefined;
  return {
    path,
    async read() {
      const state = await stateOf(path);
      if (state !== undefined && state === known?.state) return known.content;
      const bytes = await readBytes(path);
      if (!bytes) return undefined;
      const content: Content = { parts: [bytes] };
      known = state !== undefined && (await stateOf(path)) === state ? { state, content } : undefined;
      return content;
    },
    async writtenMs() {
      const now = await bigStat(path);
      return now && Number(now.mtimeNs) / 1e6;
    },
    confirmWritten: (nowMs) => utimes(path, nowMs / 1000, nowMs / 1000),
    async draft(content) {
      const made = await draft(path, content.parts, gid());
      return {
        ...made,
        async publish() {
          const before = await bigStat(made.path);
          await made.publish();
          const after = await bigStat(path);
          const isOurs = before && after && after.ino === before.ino && after.size === before.size && after.mtimeNs === before.mtimeNs;
          known = isOurs ? { state: stateText(after), content } : undefined;
        },
      };
    },
  };
}

async function bigStat(path: string): Promise<BigIntStats | undefined> {
  try {
    return await stat(path, { bigint: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** A text that identifies the state of a file. Any write changes it, and another file has another one. */
const stateText = ({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string => [dev, ino, size, mtimeNs, ctimeNs].join(' ');

async function stateOf(path: string): Promise<string | undefined> {
  const now = await bigStat(path);
  return now && stateText(now);
}

/** A written content that can take the file's place. */
export interface Draft {
  readonly path: string;
  /** Renames the draft to the file. */
  publish(): Promise<void>;
  discard(): Promise<void>;
}

/**
 * Writes a new content for `path` to a file beside it, with mode 0640. The content is on disk when this resolves.
 * @param gid the group that may read it, which is BIRD's when BIRD does not run as root; undefined for the agent's own group
 */
export async function draft(path: string, parts: readonly Uint8Array[], gid: number | undefined): Promise<Draft> {
  const directory = dirname(path);
  const temporary = join(directory, `.${basename(path)}.${process.pid}.new`);
  await removeDrafts(directory, basename(path));
  const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = constants;
  const handle = await open(temporary, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o600);
  const discard = (): Promise<void> => rm(temporary, { force: true });
  try {
    await fill(handle, parts, gid);
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

/** The names among `entries`, of a directory, that belong to drafts of the file `name`. */
export const draftsAmong = (entries: readonly string[], name: string): readonly string[] =>
  entries.filter((entry) => entry.startsWith(`.${name}.`) && /^[0-9]+\.new$/.test(entry.slice(name.length + 2)));

async function fill(handle: FileHandle, parts: readonly Uint8Array[], gid: number | undefined): Promise<void> {
  try {
    // The group is set first: between the two steps it cannot read anything yet.
    if (gid !== undefined) await handle.chown(process.getuid?.() ?? 0, gid);
    await handle.chmod(0o640);
    await writeAll(handle, parts);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Writes the parts one after the other, without joining them into one text first. */
async function writeAll(handle: FileHandle, parts: readonly Uint8Array[]): Promise<void> {
  const length = parts.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const { bytesWritten } = await handle.writev(parts);
  if (bytesWritten < length) await handle.writeFile(Buffer.concat(parts).subarray(bytesWritten)); // a full file system reports an error only at the second write
}
