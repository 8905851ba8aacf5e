// What the disk or the kernel refuses for a port: told when it starts, changes and ends, however often it is refused again in between.
import type { Logger } from '@calico-openstack/agent';

/** What was refused: the port's files for Dnsmasq, or the addresses on its tap. */
export type Refused = 'files' | 'addresses';

/** @returns what tells that something is refused for a tap, and why; undefined: it is not, or not any more */
export function refusalTeller(log: Logger): (tap: string, what: Refused, reason: string | undefined) => void {
  const told = new Map<string, string>();
  return (tap, what, reason) => {
    const id = `${tap} ${what}`;
    if (told.get(id) === reason) return;
    if (reason === undefined) {
      told.delete(id);
      log.info({ tap, what }, 'no longer refused');
    } else {
      told.set(id, reason);
      log.error({ tap, what, reason }, 'cannot do what the port needs; everything else goes on, and it is tried again');
    }
  };
}
