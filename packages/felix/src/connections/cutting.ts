// Cuts the connections of addresses that have left an interface. Connections that were allowed for the former owner must not reach the next one, so no route leads to an address until its
// connections are cut.
import type { IpAddress } from '@calico-openstack/addresses';
import { backoffMs, type Clock, type Logger, systemClock } from '@calico-openstack/agent';
import type { Conntrack } from '@calico-openstack/kernel';

/** Cuts connections. */
export interface Cutting {
  /** Cuts the connections of these addresses, and retries until that succeeds. */
  cut(addresses: readonly IpAddress[]): void;
  close(): void;
}

type CuttingListener = {
  /** Called when the connections of these addresses have been cut. */
  readonly onCut: (addresses: readonly IpAddress[]) => void;
  /** Called once for each address whose connections could not be cut at the first attempt. */
  readonly onHeld: (addresses: readonly IpAddress[], reason: string) => void;
};

const retry = { firstMs: 200, maxMs: 30_000 };

/** Starts idle. */
export function startCutting(
  conntrack: Pick<Conntrack, 'deleteByAddress'>,
  log: Logger,
  { onCut, onHeld }: CuttingListener,
  clock: Pick<Clock, 'pause'> = systemClock,
): Cutting {
  const closing = new AbortController();

  /** Returns whether all connections of these addresses have been cut. */
  async function attempt(addresses: readonly IpAddress[], failures: number): Promise<boolean> {
    try {
      const { deleted } = await conntrack.deleteByAddress(addresses);
      if (deleted > 0) log.debug({ addresses: addresses.length, deleted }, 'connections cut');
      if (failures > 0)
        log.info({ addresses: addresses.join(','), failures }, 'the connections of addresses that had left are cut now; the addresses are routed again');
    } catch (error) {
      if (closing.signal.aborted) return false;
      if (failures === 0) {
        log.error(
          { err: error, addresses: addresses.join(',') },
          'cannot cut the connections of addresses that have left their workload; nothing is routed to these addresses until a retry succeeds; see the error',
        );
        onHeld(addresses, `the connections of its former owner cannot be cut: ${(error as Error).message}`);
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
        // Retries are made for each address by itself, so that one that fails does not hold up the others.
        if (!done) for (const address of addresses) void insist(address);
      });
    },
    close: () => closing.abort(),
  };
}
