// Holds on to the address that a host is registered with: with another, all its sessions end, on all hosts. No I/O; the clock is handed in.
import type { IpAddress, IpFamily } from '@calico-openstack/addresses';
import type { FoundAddress, HeldAddress } from './addresses.ts';

export type AddressKeeper = {
  /**
   * The address to be registered, with the length of its network; undefined: what is registered stays.
   * @param registered what the Node says now, and whether the host still has it
   */
  choose(
    family: IpFamily,
    found: FoundAddress,
    registered: { readonly address: IpAddress; readonly held: HeldAddress | undefined } | undefined,
  ): string | undefined;
};

/**
 * A registered address that the host still has stays, while its interface is down above all: the default route has gone to another one then. It is left when the default route has
 * been elsewhere for `holdMs` though the interface is up, or when the host has been without it for so long; and at once when the host never had it, or when it was a guess of this keeper's, for want of a default route.
 */
export function createAddressKeeper(holdMs: number, nowMs: () => number): AddressKeeper {
  const guesses = new Map<IpFamily, string>();
  /** What this host has had. An address that it never had is another's, or of another life: nothing rests on it. */
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
      // It has stood until it is registered: whoever only asks, or is overtaken when he writes, does not have its time begin anew.
      return hasStood(family, address) ? take() : held?.text;
    },
  };
}
