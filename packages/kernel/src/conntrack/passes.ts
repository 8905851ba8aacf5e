// Who shares which pass over the flows: one runs at a time, and all who ask while it runs share the next.
import { parseIp } from '../addresses/ip.ts';
import { type AddressSet, addressSet } from './addresses.ts';
import type { FlowDeletion } from './flow.ts';

/** `pass` deletes the flows of a set of addresses. What it throws reaches everybody who shared it. */
export function sharedPasses(pass: (addresses: AddressSet) => Promise<FlowDeletion>): (addresses: Iterable<string>) => Promise<FlowDeletion> {
  let running: Promise<unknown> = Promise.resolve();
  let next: { readonly addresses: Map<string, Uint8Array>; readonly result: Promise<FlowDeletion> } | undefined;

  return async (addresses) => {
    const parsed = parsedAddresses(addresses);
    if (parsed.size === 0) return { deleted: 0, seen: 0 };
    if (next === undefined) {
      const mine = new Map<string, Uint8Array>();
      const start = (): Promise<FlowDeletion> => {
        next = undefined; // whoever comes now needs a pass that starts later
        return pass(addressSet(mine.values()));
      };
      const result = running.then(start);
      next = { addresses: mine, result };
      running = result.catch(() => undefined); // those who asked are told
    }
    for (const [address, bytes] of parsed) next.addresses.set(address, bytes);
    return next.result;
  };
}

/** By text. RangeError for what is no address. */
export function parsedAddresses(addresses: Iterable<string>): Map<string, Uint8Array> {
  const parsed = new Map<string, Uint8Array>();
  for (const address of addresses) {
    const bytes = parseIp(address);
    if (bytes === undefined) throw new RangeError(`${JSON.stringify(address)} is no IP address: its flows cannot be found`);
    parsed.set(address, bytes);
  }
  return parsed;
}
