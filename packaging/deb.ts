// Makes one Debian package: a tree of files, the control file, and the scripts that dpkg runs. The same input makes the same bytes.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { copyrightFile } from './licences.ts';

/** A file of a package: `to` is its path on the host. */
export type Entry = {
  readonly to: string;
  readonly mode?: number;
  readonly configuration?: true;
} & ({ readonly from: string } | { readonly content: string } | { readonly gzipped: string } | { readonly link: string });

/** A package. */
export type Package = {
  readonly name: string;
  readonly architecture: 'all' | 'amd64' | 'arm64';
  readonly section?: string;
  /** The description of the package in one line. */
  readonly summary: string;
  readonly description: string;
  readonly depends: readonly string[];
  readonly recommends?: readonly string[];
  /** Other projects' packages with the same purpose, which cannot be installed beside it. */
  readonly replaces?: readonly string[];
  readonly entries: readonly Entry[];
  /** Folders of the npm packages whose code it holds. */
  readonly modules?: readonly string[];
  /** Shell that runs when the package is installed for the first time, before its units are started. */
  readonly beforeFirstStart?: string;
  /** The systemd units that are started when the package is installed. */
  readonly services?: readonly string[];
  /** Complaints of lintian that do not hold here, each with its reason. */
  readonly overrides?: Readonly<Record<string, string>>;
  /** Whether it holds Python modules, which are compiled on the host. */
  readonly compilesPython?: true;
};

/** The properties that all packages of a build share. `epochSeconds` is the time of every file in them. */
export type Build = { readonly version: string; readonly out: string; readonly epochSeconds: number };

const maintainer = 'Calico for OpenStack in TypeScript <maintainers@calico-openstack.invalid>';

/** Writes the package to `out`, and returns its path. Throws when dpkg-deb fails. */
export function buildDeb(one: Package, { version, out, epochSeconds }: Build): string {
  const tree = mkdtempSync(join(tmpdir(), `${one.name}-`));
  try {
    chmodSync(tree, 0o755);
    const entries = [
      ...one.entries,
      { to: `/usr/share/doc/${one.name}/copyright`, content: copyrightFile(one.modules ?? []) },
      changelog(one.name, version, epochSeconds),
      overridesFile(one),
    ];
    for (const entry of entries) place(tree, entry);
    const files = entries.filter((entry) => !('link' in entry)).map(({ to }) => to);
    mkdirSync(join(tree, 'DEBIAN'));
    const write = (name: string, text: string, mode = 0o644): void => {
      writeFileSync(join(tree, 'DEBIAN', name), text);
      chmodSync(join(tree, 'DEBIAN', name), mode);
    };
    write(
      'control',
      control(
        one,
        version,
        files.reduce((bytes, to) => bytes + statSync(join(tree, to)).size, 0),
      ),
    );
    write(
      'md5sums',
      files
        .map(
          (to) =>
            `${createHash('md5')
              .update(readFileSync(join(tree, to)))
              .digest('hex')}  ${to.slice(1)}\n`,
        )
        .join(''),
    );
    const configuration = entries.filter((entry) => entry.configuration).map(({ to }) => `${to}\n`);
    if (configuration.length > 0) write('conffiles', configuration.join(''));
    for (const [name, text] of Object.entries(scripts(one))) write(name, text, 0o755);
    const path = join(out, `${one.name}_${version.replace(/^\d+:/, '')}_${one.architecture}.deb`);
    execFileSync('dpkg-deb', ['--root-owner-group', '-Zzstd', '-z9', '--build', tree, path], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, SOURCE_DATE_EPOCH: String(epochSeconds), DPKG_DEB_THREADS_MAX: '1' },
    });
    return path;
  } finally {
    rmSync(tree, { recursive: true });
  }
}

function place(tree: string, entry: Entry): void {
  const path = join(tree, entry.to);
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  if ('link' in entry) symlinkSync(entry.link, path);
  else {
    if ('from' in entry) copyFileSync(entry.from, path);
    else writeFileSync(path, 'content' in entry ? entry.content : gzipSync(entry.gzipped, { level: 9 }));
    chmodSync(path, entry.mode ?? 0o644);
  }
}

function control(one: Package, version: string, bytes: number): string {
  const { name, architecture, section = 'net', summary, description, depends, recommends = [], replaces = [] } = one;
  const list = (field: string, names: readonly string[]): string => (names.length > 0 ? `${field}: ${names.join(', ')}\n` : '');
  return (
    `Package: ${name}\nVersion: ${version}\nArchitecture: ${architecture}\nMaintainer: ${maintainer}\nInstalled-Size: ${Math.ceil(bytes / 1024)}\n` +
    list('Depends', depends) +
    list('Recommends', recommends) +
    list('Provides', replaces) +
    list('Conflicts', replaces) +
    list('Replaces', replaces) +
    `Section: ${section}\nPriority: optional\nHomepage: https://docs.tigera.io/calico/latest/getting-started/openstack/\nDescription: ${summary}\n${wrapped(description, 78, ' ')}`
  );
}

/** Text in lines of at most this many characters, each behind an indentation. */
function wrapped(text: string, most: number, indentation: string): string {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1)!;
    if (line !== '' && indentation.length + line.length + 1 + word.length > most) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines.map((line) => `${indentation}${line}\n`).join('');
}

const everyOverride = { 'initial-upload-closes-no-bugs': 'It is not uploaded to Debian, whose bugs these are.' };

const overridesFile = ({ name, overrides = {} }: Package): Entry => ({
  to: `/usr/share/lintian/overrides/${name}`,
  content: Object.entries({ ...everyOverride, ...overrides })
    .map(([tag, reason]) => `${wrapped(reason, 78, '# ')}${name}: ${tag}\n`)
    .join(''),
});

const changelog = (name: string, version: string, epochSeconds: number): Entry => ({
  to: `/usr/share/doc/${name}/changelog.Debian.gz`,
  gzipped: `${name} (${version}) stable; urgency=medium\n\n  * What changed is in this project's CHANGELOG.md.\n\n -- ${maintainer}  ${new Date(epochSeconds * 1000).toUTCString().replace('GMT', '+0000')}\n`,
});

/**
 * The scripts of dpkg (Debian policy, chapter 6). A service is started when the package is installed, and restarted when it is upgraded. The rules, leases and routes that the service has put
 * in force stay meanwhile. Where no systemd runs (a chroot, a container) nothing is started.
 */
function scripts({ name, services = [], beforeFirstStart, compilesPython }: Package): Readonly<Record<string, string>> {
  const head = '#!/bin/sh\nset -e\n';
  const units = services.map((service) => `${service}.service`).join(' ');
  const parts = {
    postinst:
      (compilesPython ? `if [ "$1" = configure ] && command -v py3compile >/dev/null; then py3compile -p ${name}; fi\n` : '') +
      (units
        ? `${beforeFirstStart === undefined ? '' : `if [ "$1" = configure ] && [ -z "$2" ]; then\n${beforeFirstStart}fi\n`}if [ "$1" = configure ]; then
  if command -v systemd-tmpfiles >/dev/null; then systemd-tmpfiles --create ${name}.conf 2>/dev/null || true; fi
  if command -v deb-systemd-helper >/dev/null; then deb-systemd-helper enable ${units} >/dev/null || true; fi
  if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
    # An older version is replaced by restarting it; what it has put in force stays meanwhile. A package of upstream's, which has no epoch, may have stopped its service before.
    if [ -n "$2" ] && dpkg --compare-versions "$2" ge 1:0; then deb-systemd-invoke try-restart ${units} || true; else deb-systemd-invoke restart ${units} || true; fi
  fi
fi
`
        : ''),
    prerm:
      (compilesPython ? `if command -v py3clean >/dev/null; then py3clean -p ${name}; fi\n` : '') +
      (units ? `if [ "$1" = remove ] && [ -d /run/systemd/system ]; then deb-systemd-invoke stop ${units} || true; fi\n` : ''),
    postrm: units
      ? `if [ "$1" = remove ] && [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
if [ "$1" = purge ] && command -v deb-systemd-helper >/dev/null; then deb-systemd-helper purge ${units} >/dev/null || true; fi
`
      : '',
  };
  return Object.fromEntries(Object.entries(parts).flatMap(([script, text]) => (text === '' ? [] : [[script, head + text]])));
}
