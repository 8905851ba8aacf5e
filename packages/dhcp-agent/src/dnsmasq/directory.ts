// The files of one Dnsmasq on disk.
import { chmodSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { IpAddress } from '@calico-openstack/addresses';
import { fileReason, makeDirectory, StartError } from '@calico-openstack/agent';
import type { Places } from './command.ts';
import { type PortFiles, parseHost } from './files.ts';
import { type Holder, parseHolders } from './leases.ts';

/** Dnsmasq passes over files whose names begin so. */
const unfinished = '.';

/**
 * Makes what is missing. Dnsmasq gives up root's rights when it has started, and reads the files again later.
 * @throws StartError when it could not
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

/** Where Dnsmasq is to log: without it, it would not start. Neutron's agent makes it, too. @throws StartError when it could not */
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

/** By tap. What is no port's, or is incomplete, is removed: Dnsmasq must not read it either. */
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

/** A directory, such as the `lost+found` of a file system of its own, is nothing to Dnsmasq and nothing to us. */
const regularFiles = (directory: string) => readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isFile());

/** The options come first: from the moment that Dnsmasq knows the host it answers, and with all that it is to say. */
export function writeFiles(places: Places, tap: string, { host, options }: PortFiles): void {
  replaceFile(join(places.options, tap), join(places.options, `${unfinished}${tap}`), options);
  replaceFile(join(places.hosts, tap), join(places.hosts, `${unfinished}${tap}`), host);
}

export function removeFiles(places: Places, tap: string): void {
  rmSync(join(places.hosts, tap), { force: true });
  rmSync(join(places.options, tap), { force: true });
}

/** The file of leases; empty where there is none yet. */
function readLeaseFile(places: Places): string {
  try {
    return readFileSync(places.leases, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw error;
  }
}

/** Empty for longer than that, the file of leases is not just being written. */
const writingMs = 1000;
const lookAgainMs = 2;
const looksMax = 50;

/** The same while Dnsmasq may be running. */
export function readLiveLeaseFile(places: Places): string {
  return wholeText(
    () => ({ text: readLeaseFile(places), ageMs: Date.now() - (statSync(places.leases, { throwIfNoEntry: false })?.mtimeMs ?? 0) }),
    () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, lookAgainMs),
  );
}

/**
 * Dnsmasq empties its file of leases and writes it anew in place whenever one changes, which takes it 2 ms where there are 1500. A lease that is not seen then is not put out of
 * the way, and whose address it was cannot have it for as long as it runs. So a file that is empty or ends within a line is looked at again, for a while.
 */
export function wholeText(look: () => { readonly text: string; readonly ageMs: number }, pause: () => void): string {
  for (let looks = 1; ; looks += 1) {
    const { text, ageMs } = look();
    const isWhole = text === '' ? ageMs >= writingMs : text.endsWith('\n');
    if (isWhole || looks === looksMax) return text;
    pause();
  }
}

/**
 * Who has an address in lease, by the file of leases as it is now; it is read when it has changed. One that is just being written may miss some: for questions that are
 * asked again.
 */
export function leaseHolders(places: Places): (address: IpAddress) => Holder | undefined {
  let [seen, holders]: [string | undefined, ReadonlyMap<IpAddress, Holder>] = [undefined, new Map()];
  return (address) => {
    const facts = statSync(places.leases, { throwIfNoEntry: false, bigint: true });
    const now = facts && `${facts.ino} ${facts.size} ${facts.mtimeNs}`;
    if (now === undefined || now !== seen) holders = parseHolders(readLeaseFile(places));
    // Written within the last second, it may be another one next time, and look the same.
    seen = facts && Date.now() - Number(facts.mtimeMs) > writingMs ? now : undefined;
    return holders.get(address);
  };
}

/** For the Dnsmasq that starts next: one that runs holds the file open that was there before. */
export const writeLeaseFile = (places: Places, text: string): void => replaceFile(places.leases, `${places.leases}.new`, text);

function replaceFile(path: string, temporary: string, text: string): void {
  try {
    writeFileSync(temporary, text, { mode: 0o644 });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true }); // a piece of it would only take room on a full disk
    throw error;
  }
}
