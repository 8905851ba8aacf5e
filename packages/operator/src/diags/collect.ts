// Collects the diagnostics of this host, without secrets, into one archive that only its owner may read. A part that fails is noted in the archive, and the others are collected all the same.
import { execFile, execFileSync } from 'node:child_process';
import { closeSync, fstatSync, globSync, mkdirSync, mkdtempSync, openSync, readSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileReason, StartError } from '@calico-openstack/agent/errors';
import { type CommandItem, commands, type FileItem, files, neverCollected, pages, withSecrets } from './items.ts';
import { scrub, secretsIn } from './scrub.ts';

/** The longest time that one command may take, because BIRD or the kernel may be the part that does not answer. */
const commandMs = 20_000;
const pageMs = 5000;
const mostOutputBytes = 64 * 1024 * 1024;
/** The greatest size of a configuration file. A larger file is not one. */
const largestConfiguration = 4_000_000;

/** The files of the archive, and the notes on what was left out, as lines for people. */
type Collection = { write(to: string, text: string): void; leftOut(what: string, why: string): void };

/**
 * Writes the archive, with mode 0600.
 * @param say is called with a line for each part of the work
 * @throws StartError when it cannot be written
 */
export async function collectDiagnostics(archive: string, say: (line: string) => void): Promise<void> {
  const name = `calico-diags-${hostname()}`;
  const folder = mkdtempSync(join(tmpdir(), 'calico-diags-')); // mode 0700
  const missing: string[] = [];
  const redacted: string[] = [];
  try {
    const secrets = knownSecrets((line) => missing.push(line));
    const collection: Collection = {
      write(to, text) {
        const clean = scrub(text, secrets);
        if (clean.count > 0) redacted.push(`${to}: ${clean.count}`);
        const path = join(folder, name, to);
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, clean.text);
      },
      leftOut: (what, why) => void missing.push(`${what}: ${scrub(why, secrets).text}`),
    };
    say(`${secrets.length} secrets of this host's configuration are looked for`);
    for (const item of commands) await runCommand(item, collection);
    for (const item of files) readFiles(item, collection);
    for (const { to, url } of pages) await readPage(to, url, collection);
    collection.write('LEFT-OUT.txt', leftOutText(missing, redacted));
    pack(folder, name, archive);
    say(`${missing.length} things could not be collected, and secrets were taken out of ${redacted.length} files: LEFT-OUT.txt in the archive lists them`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function leftOutText(missing: readonly string[], redacted: readonly string[]): string {
  const part = (title: string, lines: readonly string[]): string =>
    `${title}\n${(lines.length > 0 ? lines : ['nothing']).map((line) => `  ${line}\n`).join('')}`;
  return [
    part('Never collected:', neverCollected),
    part('Not collected on this host, and why:', missing),
    part('Secrets taken out, by file:', redacted),
    part('What is in the archive all the same:', ['names and addresses of this host, of its guests and of its neighbours; read it before you give it away']),
  ].join('\n');
}

/** The secrets of the configuration files and of this process's environment. A file that cannot be read is named, because its secrets are then not known. */
function knownSecrets(note: (line: string) => void): readonly string[] {
  const environment = Object.entries(process.env).map(([name, value]) => `${name} = ${value}\n`);
  const found = new Set(environment.flatMap(secretsIn));
  for (const path of globSync([...withSecrets])) {
    try {
      const facts = statSync(path);
      if (!facts.isFile() || facts.size > largestConfiguration) continue;
      for (const secret of secretsIn(endOf(path, largestConfiguration))) found.add(secret);
    } catch (error) {
      note(`${path}: its secrets are not known, so they are not looked for in logs: ${fileReason(error)}`);
    }
  }
  return [...found];
}

/** The end of a file. */
function endOf(path: string, mostBytes: number): string {
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    const bytes = Buffer.alloc(Math.min(size, mostBytes));
    const read = readSync(file, bytes, 0, bytes.length, Math.max(0, size - bytes.length));
    return bytes.toString('utf8', 0, read);
  } finally {
    closeSync(file);
  }
}

function runCommand({ to, command: [program, ...words] }: CommandItem, { write, leftOut }: Collection): Promise<void> {
  return new Promise((resolve) => {
    execFile(
      program,
      words,
      { timeout: commandMs, killSignal: 'SIGKILL', maxBuffer: mostOutputBytes, env: { ...process.env, LC_ALL: 'C' } },
      (error, stdout, stderr) => {
        if (error && 'code' in error && error.code === 'ENOENT') leftOut(to, `there is no ${program} on this host`);
        else if (error && stdout === '') leftOut(to, `${[program, ...words].join(' ')}: ${stderr.trim().split('\n').at(-1) || error.message}`);
        else write(to, stderr === '' ? stdout : `${stdout}\n${stderr}`);
        resolve();
      },
    );
  });
}

function readFiles({ folder, paths, mostBytes }: FileItem, { write, leftOut }: Collection): void {
  const found = globSync([...paths]).filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile());
  if (found.length === 0) leftOut(folder, `none of ${paths.join(', ')} is there`);
  for (const path of found) {
    try {
      write(join(folder, basename(path)), endOf(path, mostBytes));
      const { size } = statSync(path);
      if (size > mostBytes) leftOut(path, `all but its last ${mostBytes} bytes of ${size}`);
    } catch (error) {
      leftOut(path, fileReason(error));
    }
  }
}

async function readPage(to: string, url: string, { write, leftOut }: Collection): Promise<void> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(pageMs) });
    write(to, `${response.status}\n${await response.text()}`);
  } catch {
    leftOut(to, `nothing is served at ${url}`);
  }
}

/** Packs the folder `name` in `folder`. The archive is made anew: an existing file might have other rights, or be a link. */
function pack(folder: string, name: string, archive: string): void {
  try {
    closeSync(openSync(archive, 'wx', 0o600));
    execFileSync('tar', ['--create', '--gzip', '--file', archive, '--directory', folder, name], { stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (error) {
    throw new StartError('ARCHIVE_UNWRITABLE', `cannot write the archive ${archive}: ${fileReason(error)}; name another file with --output`, { cause: error });
  }
}
