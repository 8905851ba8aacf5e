// Dnsmasq's files on disk.
import { chmodSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileReason, makeDirectory, StartError } from '@calico-openstack/agent';
import type { Places } from './command.ts';
import { type PortFiles, parseHost } from './files.ts';

/** Begins the names of files that are being written: Dnsmasq skips such files. */
const unfinished = '.';

/**
 * Makes the missing directories, readable by everybody: Dnsmasq gives up root's rights after its start, and reads the files again later.
 * @throws StartError when a directory cannot be made, or ordinary users cannot get into it
 */
export function makeDirectories(places: Places): void {
  for (const directory of [places.directory, places.hosts, places.options]) {
    makeConfiguredDirectory(directory);
    if ((statSync(directory).mode & 0o777) !== 0o755) chmodSync(directory, 0o755);
  }
  for (let directory = places.directory; directory !== dirname(directory); directory = dirname(directory)) {
    if ((statSync(directory).mode & 0o001) === 0) {
      throw new StartError(
        'DIRECTORY_UNUSABLE',
        `Dnsmasq runs as an ordinary user and cannot get into ${directory}: "chmod o+x ${directory}", or set dhcp_confs to a directory elsewhere`,
      );
    }
  }
}

/** Makes the directory for Dnsmasq's log, as Neutron's agent does: Dnsmasq does not start without it. @throws StartError when it cannot be made */
export const makeLogDirectory = (directory: string): void => makeConfiguredDirectory(directory);

function makeConfiguredDirectory(directory: string): void {
  try {
    makeDirectory(directory);
  } catch (error) {
    throw new StartError(
      'DIRECTORY_UNUSABLE',
      `cannot make ${directory}: ${fileReason(error)}; set dhcp_confs, state_path or dnsmasq_base_log_dir to a directory that can be written`,
      { cause: error },
    );
  }
}

/** The files of all ports, by tap. Removes files that are incomplete or of no port: Dnsmasq must not read them either. */
export function readFiles(places: Places): Map<string, PortFiles> {
  const files = new Map<string, PortFiles>();
  const options = new Set(regularFiles(places.options).map(({ name }) => name));
  for (const { name: tap } of regularFiles(places.hosts)) {
    const host = readFileSync(join(places.hosts, tap), 'utf8');
    if (parseHost(host)?.tap === tap && options.has(tap)) files.set(tap, { host, options: readFileSync(join(places.options, tap), 'utf8') });
    else rmSync(join(places.hosts, tap));
  }
  for (const tap of options) if (!files.has(tap)) rmSync(join(places.options, tap));
  return files;
}

/** The regular files. Directories, such as the `lost+found` of a file system's root, are skipped by Dnsmasq and by this agent. */
const regularFiles = (directory: string) => readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isFile());

/** Writes a port's files. The options come first: Dnsmasq answers from the moment that it knows the host, and must know the options by then. */
export function writeFiles(places: Places, tap: string, { host, options }: PortFiles): void {
  replaceFile(join(places.options, tap), join(places.options, `${unfinished}${tap}`), options);
  replaceFile(join(places.hosts, tap), join(places.hosts, `${unfinished}${tap}`), host);
}

/** Removes a port's files, if there are any. */
export function removeFiles(places: Places, tap: string): void {
  rmSync(join(places.hosts, tap), { force: true });
  rmSync(join(places.options, tap), { force: true });
}

/** The text of the lease file; empty when there is none yet. */
function readLeaseFile(places: Places): string {
  try {
    return readFileSync(places.leases, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw error;
  }
}

/** A lease file that has been empty for longer than this is not being written. */
const writingMs = 1000;
const lookAgainMs = 2;
const looksMax = 50;

/**
 * The text of the lease file while Dnsmasq may be writing it, and whether it is whole.
 * @param writtenMs what `writeLeaseFile` returned for the Dnsmasq that runs: as long as the file has this time, Dnsmasq has written nothing, and even a new, empty file is whole
 */
export function readLiveLeaseFile(places: Places, writtenMs?: number): { readonly text: string; readonly isWhole: boolean } {
  const look = () => {
    const text = readLeaseFile(places);
    const changedMs = statSync(places.leases, { throwIfNoEntry: false })?.mtimeMs;
    return { text, ageMs: changedMs === undefined || changedMs === writtenMs ? Number.POSITIVE_INFINITY : Date.now() - changedMs };
  };
  return wholeText(look, () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, lookAgainMs));
}

/**
 * Reads a lease file until it is whole. Dnsmasq empties the file and writes it again in place whenever a lease changes, which takes 2 ms for 1500 leases. A lease missed here would
 * not be removed, and the next port with its address could not have it for as long as the lease runs. So a file that is empty or ends within a line is read again, for a while: on a busy
 * machine Dnsmasq may wait for the processor between the two.
 */
export function wholeText(
  look: () => { readonly text: string; readonly ageMs: number },
  pause: () => void,
): { readonly text: string; readonly isWhole: boolean } {
  for (let looks = 1; ; looks += 1) {
    const { text, ageMs } = look();
    const isWhole = text === '' ? ageMs >= writingMs : text.endsWith('\n');
    if (isWhole || looks === looksMax) return { text, isWhole };
    pause();
  }
}

/** Writes the lease file for the Dnsmasq that starts next: a running one has the former file open. Returns the time that the file has, in milliseconds since 1970. */
export function writeLeaseFile(places: Places, text: string): number {
  replaceFile(places.leases, `${places.leases}.new`, text);
  return statSync(places.leases).mtimeMs;
}

function replaceFile(path: string, temporary: string, text: string): void {
  try {
    writeFileSync(temporary, text, { mode: 0o644 });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true }); // an incomplete file would take up space on a full disk
    throw error;
  }
}
