// Resolves the host names in URLs to addresses, and repeats that at intervals.
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';

type Lookup = (name: string) => Promise<readonly string[]>;
const lookupAll: Lookup = async (name) => (await lookup(name, { all: true })).map(({ address }) => address);

/**
 * Reports the addresses of the URLs' hosts until `close()`. Hosts that are written as addresses are reported before it returns. Names are then resolved every `everyMs`, and the
 * addresses of all hosts are reported together. A name that cannot be resolved keeps the addresses that it had. An invalid URL is skipped.
 */
export function followAddresses(
  urls: readonly string[],
  onAddresses: (addresses: readonly string[]) => void,
  { everyMs = 60_000, resolve = lookupAll }: { readonly everyMs?: number; readonly resolve?: Lookup } = {},
): { close(): void } {
  const hosts = [...new Set(urls.flatMap((url) => (URL.canParse(url) ? [new URL(url).hostname.replace(/^\[(.*)\]$/, '$1')] : [])))];
  const known = new Map<string, readonly string[]>(hosts.map((host) => [host, isIP(host) ? [host] : []]));
  const names = hosts.filter((host) => !isIP(host));
  let closed = false;
  const report = (): void => onAddresses([...new Set([...known.values()].flat())]);

  async function resolveNames(): Promise<void> {
    for (const name of names) {
      const addresses = await resolve(name).catch(() => undefined);
      if (addresses) known.set(name, addresses);
    }
    if (!closed) report();
  }

  report();
  const timer = names.length > 0 ? setInterval(() => void resolveNames(), everyMs) : undefined;
  if (names.length > 0) void resolveNames();
  return {
    close() {
      closed = true;
      clearInterval(timer);
    },
  };
}
