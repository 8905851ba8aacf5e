// Makes a clean Debian or Ubuntu for tests of the packages: a file system with the packages' dependencies and nothing else of this machine. It is made once and kept; tests run on overlays of it.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** A release of a distribution, and what is in its clean root beside the packages that every root has. */
export type System = {
  readonly suite: 'bookworm' | 'trixie' | 'noble';
  readonly extra?: readonly string[];
  /** Where its packages come from; without one, the suite's usual place. */
  readonly mirror?: string;
};

/** Debian 12, as CI uses it. */
export const bookworm: System = { suite: 'bookworm' };

/** The packages in each root: the dependencies, an init, lintian, and the etcd with which the agents are started. */
const included = [
  ...['bird2', 'dnsmasq-base', 'nftables', 'neutron-common', 'python3-neutron'],
  ...['systemd', 'systemd-sysv', 'etcd-server', 'etcd-client', 'prometheus', 'curl', 'openssl', 'iproute2', 'iputils-ping', 'procps'],
  ...['lintian', 'logrotate', 'man-db'],
];

const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'calico-openstack');

/** The age at which a root is made again, so that Debian's updates are in it. */
const freshMs = 30 * 24 * 3600 * 1000;

/**
 * The folder of the clean root. It is made by mmdebstrap at the first call, which needs the network and a minute or two, and found in the user's cache from then on. An old one goes
 * on serving where it cannot be made again.
 * @throws Error when there is none and it cannot be made
 */
export function cleanRoot({ suite, extra = [], mirror }: System): string {
  const packages = [...included, ...extra];
  const name = `${suite}-${createHash('sha256').update(packages.join(' ')).digest('hex').slice(0, 12)}`;
  const root = join(cache, name);
  const isThere = existsSync(root);
  if (isThere && Date.now() - statSync(root).mtimeMs < freshMs) return root;
  mkdirSync(cache, { recursive: true });
  const fresh = mkdtempSync(join(cache, `${name}-making-`));
  try {
    const options = ['--mode=root', '--variant=minbase', `--include=${packages.join(',')}`, '--aptopt=APT::Install-Recommends "false"', '--quiet'];
    if (suite === 'noble') options.push('--components=main,universe');
    execFileSync('mmdebstrap', [...options, suite, fresh, ...(mirror === undefined ? [] : [mirror])], {
      stdio: ['ignore', 'pipe', 'pipe'],
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
    });
    const old = isThere ? `${root}-old-${process.pid}` : undefined;
    if (old !== undefined) renameSync(root, old);
    renameSync(fresh, root);
    if (old !== undefined) rmSync(old, { recursive: true });
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true });
    if (isThere) return root;
    const { stderr = '' } = error as { stderr?: string };
    throw new Error(
      `the clean Debian for tests of the packages cannot be made: it comes from Debian's archive, which needs the network once; afterwards it is in ${root}, which can be copied from another machine too. mmdebstrap said: ${stderr.slice(-2000) || (error as Error).message}`,
      { cause: error },
    );
  }
  return root;
}
