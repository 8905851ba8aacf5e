// Shares passes over the flows: one pass runs at a time, and all calls during it share the next one.
import { addressBytes } from '@calico-openstack/addresses';
import { type AddressSet, addressSet } from './addresses.ts';
import type { FlowDeletion } from './flow.ts';

/** Returns a function that deletes the flows of addresses by shared passes. `pass` deletes the flows of a set of addresses; its error reaches all callers that share the pass. */
export function sharedPasses(pass: (addresses: AddressSet) => Promise<FlowDeletion>): (addresses: Iterable<string>) => Promise<FlowDeletion> {
  let running: Promise<unknown> = Promise.resolve();
  let next: { readonly addresses: Map<string, Uint8Array>; readonly result: Promise<FlowDeletion> } | undefined;

  return async (addresses) => {
    const parsed = parsedAddresses(addresses);
    if (parsed.size === 0) return { deleted: 0, seen: 0 };
    if (next === undefined) {
      const mine = new Map<string, Uint8Array>();
      const start = (): Promise<FlowDeletion> => {
        next = undefined; // later callers need a pass that starts later
        return pass(addressSet(mine.values()));
      };
      const result = running.then(start);
      next = { addresses: mine, result };
      running = result.catch(() => undefined); // the callers get the error
    }
    for (const [address, bytes] of parsed) next.addresses.set(address, bytes);
    return next.result;
  };
}

/** The bytes of addresses, by their text. Throws RangeError for a text that is not an address. */
export function parsedAddresses(addresses: Iterable<string>): Map<string, Uint8Array> {
  const parsed = new Map<string, Uint8Array>();
  for (const address of addresses) {
    parsed.set(address, addressBytes(address));
  }
  return parsed;
}
