// Keeps the address with which a host is registered as long as possible, because another address ends all its sessions on all hosts. No I/O; the clock is passed in.
import type { IpAddress, IpFamily } from '@calico-openstack/addresses';
import type { FoundAddress, HeldAddress } from './addresses.ts';

/** Chooses the address to register. */
export type AddressKeeper = {
  /**
   * The address to register, with its prefix length; undefined when the registered one stays.
   * @param registered the Node's present address, and whether the host still has it
   */
  choose(
    family: IpFamily,
    found: FoundAddress,
    registered: { readonly address: IpAddress; readonly held: HeldAddress | undefined } | undefined,
  ): string | undefined;
};

/**
 * A registered address that the host still has stays, above all while its interface is down: the default route uses another interface then. It is given up when the default route has
 * used another interface for `holdMs` although this one is up, or when the host has been without the address for that long. It is given up at once when the host never had it, or when it
 * was only a guess.
 */
export function createAddressKeeper(holdMs: number, nowMs: () => number): AddressKeeper {
  const guesses = new Map<IpFamily, string>();
  /** The addresses that this host has had. An address that it never had belongs to another host, or to an earlier life of this one, so no session depends on it. */
  const had = new Map<IpFamily, IpAddress>();
  const better = new Map<IpFamily, { readonly address: string; readonly sinceMs: number }>();

  function hasStood(family: IpFamily, address: string): boolean {
    const known = better.get(family);
    if (known?.address !== address) better.set(family, { address, sinceMs: nowMs() });
    return nowMs() >= better.get(family)!.sinceMs + holdMs;
  }

  return {
    choose(family, { address, isGuess }, registered) {
      const take = (): string | undefined => {
        if (isGuess && address !== undefined) guesses.set(family, address);
        else guesses.delete(family);
        return address;
      };
      if (!registered || address === undefined) {
        better.delete(family);
        return take();
      }
      const { held } = registered;
      if (held) had.set(family, registered.address);
      else if (had.get(family) !== registered.address) return take();
      if (address.split('/')[0] === registered.address) {
        better.delete(family);
        return address;
      }
      if (held && guesses.get(family) === held.text && !isGuess) return take();
      if (held && (!held.isUp || isGuess)) {
        better.delete(family);
        return held.text;
      }
      // The hold time of an address restarts only when the address is registered. A call that does not lead to a registration does not restart it.
      return hasStood(family, address) ? take() : held?.text;
    },
  };
}
