// What an address stood for is gone or elsewhere: connections that were let through to it must not reach who has it next. Only when they are cut may a route lead to it again.
import type { IpAddress } from '@calico-openstack/addresses';
import { backoffMs, type Clock, type Logger, systemClock } from '@calico-openstack/agent';
import type { Conntrack } from '@calico-openstack/kernel';

export interface Cutting {
  cut(addresses: readonly IpAddress[]): void;
  close(): void;
}

type Told = {
  /** Their connections are cut. */
  readonly onCut: (addresses: readonly IpAddress[]) => void;
  /** They are not, and it is tried again. Once for each address. */
  readonly onHeld: (addresses: readonly IpAddress[], reason: string) => void;
};

const retry = { firstMs: 200, maxMs: 30_000 };

export function startCutting(
  conntrack: Pick<Conntrack, 'deleteByAddress'>,
  log: Logger,
  { onCut, onHeld }: Told,
  clock: Pick<Clock, 'pause'> = systemClock,
): Cutting {
  const closing = new AbortController();

  /** False: something of it cannot be cut. */
  async function attempt(addresses: readonly IpAddress[], failures: number): Promise<boolean> {
    try {
      const { deleted } = await conntrack.deleteByAddress(addresses);
      if (deleted > 0) log.debug({ addresses: addresses.length, deleted }, 'connections cut');
      if (failures > 0) log.info({ addresses: addresses.join(','), failures }, 'connections of addresses that had left are cut: they may be routed again');
    } catch (error) {
      if (closing.signal.aborted) return false;
      if (failures === 0) {
        log.error(
          { err: error, addresses: addresses.join(',') },
          'cannot cut connections of addresses that have left: nothing is routed to them until that is done; it is tried again',
        );
        onHeld(addresses, `connections of who had it before cannot be cut: ${(error as Error).message}`);
      }
      return false;
    }
    if (!closing.signal.aborted) onCut(addresses);
    return true;
  }

  async function insist(address: IpAddress): Promise<void> {
    for (let failures = 1; !closing.signal.aborted; failures += 1) {
      await clock.pause(backoffMs(retry, failures), closing.signal);
      if (closing.signal.aborted || (await attempt([address], failures))) return;
    }
  }

  return {
    cut(addresses) {
      if (addresses.length === 0) return;
      void attempt(addresses, 0).then((done) => {
        // One by one: what keeps one of them keeps no other.
        if (!done) for (const address of addresses) void insist(address);
      });
    },
    close: () => closing.abort(),
  };
}
