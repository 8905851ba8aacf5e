// Sysctls: the kernel's settings under /proc/sys, in-process.
import { closeSync, constants, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { CodedError } from '@calico-openstack/agent/errors';

/** A sysctl could not be read or written for a reason that is not expected. `code` is the errno's name. */
export class SysctlError extends CodedError {}

/** `root`: where the settings are mounted, /proc/sys unless it is a test. */
export type SysctlOptions = { readonly root?: string };

/**
 * The value of a setting, one line without its end; undefined where there is none (its link is gone, or the kernel lacks it). `path`: its components, each one name:
 * `['net', 'ipv4', 'conf', 'eth0.100', 'rp_filter']`. Settings below `net` are those of the calling thread's network namespace. RangeError when a component is no
 * single name; SysctlError when the kernel refuses.
 */
export function readSysctl(path: readonly string[], options: SysctlOptions = {}): string | undefined {
  return expecting(path, 'read', () => readFileSync(fileOf(path, options), 'utf8').replace(/\n$/, ''));
}

/**
 * Makes a setting have this value, writing only when it has another: `unchanged` costs the kernel nothing. `absent`: there is no such setting (now). Components as
 * for `readSysctl`. RangeError when the value is more than a line; SysctlError when the kernel refuses.
 */
export function writeSysctl(path: readonly string[], value: string | number, options: SysctlOptions = {}): 'written' | 'unchanged' | 'absent' {
  const text = String(value);
  if (/[\n\0]/.test(text) || text === '') throw new RangeError(`${JSON.stringify(text)} cannot be the value of ${path.join('/')}: it must be one line`);
  return expecting(path, `set to ${text}`, () => overwrite(fileOf(path, options), text)) ?? 'absent';
}

/** Lists come back separated by tabs, whatever they were written with. */
const words = (text: string): string => text.trim().split(/\s+/).join(' ');

/** The file is opened once for both: an interface of a workload has ten settings, which are written before its routes. */
function overwrite(file: string, text: string): 'written' | 'unchanged' {
  const fd = openSync(file, constants.O_RDWR); // neither created nor truncated
  try {
    const before = buffer.toString('latin1', 0, readSync(fd, buffer, 0, buffer.length, 0)).replace(/\n$/, '');
    if (before === text || words(before) === words(text)) return 'unchanged';
    writeSync(fd, `${text}\n`, 0);
  } finally {
    closeSync(fd);
  }
  return 'written';
}

/** What a setting is read into. The kernel gives a whole value of at most a page at the first read. */
const buffer = Buffer.alloc(4096);

/** A component can be a link's name, which may hold dots but no slash: nothing leads out of the directory that it stands in. */
function fileOf(path: readonly string[], { root = '/proc/sys' }: SysctlOptions): string {
  for (const component of path) {
    if (component === '' || component === '.' || component === '..' || /[/\0]/.test(component)) {
      throw new RangeError(`${JSON.stringify(component)} cannot be a component of a sysctl's path (${JSON.stringify(path)})`);
    }
  }
  return `${root}/${path.join('/')}`;
}

/** The result of `act`; undefined when the setting does not exist, or was removed together with its link meanwhile. */
function expecting<T>(path: readonly string[], what: string, act: () => T): T | undefined {
  try {
    return act();
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error)) throw error;
    const code = String(error.code);
    if (code === 'ENOENT' || code === 'ENODEV') return undefined;
    throw new SysctlError(code, `the sysctl ${path.join('/')} cannot be ${what}: ${code}`, { cause: error });
  }
}
