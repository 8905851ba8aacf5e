// Reports what the disk or the kernel refuses for a port: once when the refusal starts, when its reason changes and when it ends, however often the same refusal is repeated.
import type { Logger } from '@calico-openstack/agent';

/** What was refused: the port's files for Dnsmasq, or the host's addresses on the port's tap. */
export type Refused = 'files' | 'addresses';

/** Reports a refusal for a tap, with its reason; undefined as reason means that nothing is refused (any longer). `count` is how many last. */
export type RefusalTeller = { (tap: string, what: Refused, reason: string | undefined): void; count(): number };

/** Reports to this log. */
export function refusalTeller(log: Logger): RefusalTeller {
  const told = new Map<string, string>();
  const tell = (tap: string, what: Refused, reason: string | undefined): void => {
    const id = `${tap} ${what}`;
    if (told.get(id) === reason) return;
    if (reason === undefined) {
      told.delete(id);
      log.info({ tap, what }, 'the files or addresses of a port are no longer refused; the port is set up as desired');
    } else {
      told.set(id, reason);
      log.error(
        { tap, what, reason },
        'the disk or the kernel refuses the files or addresses of a port, which is served without them; other ports are not affected; retrying; see reason',
      );
    }
  };
  return Object.assign(tell, { count: () => told.size });
}
