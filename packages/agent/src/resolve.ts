// The addresses behind names in URLs, as the resolver tells them now and later.
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';

type Lookup = (name: string) => Promise<readonly string[]>;
const lookupAll: Lookup = async (name) => (await lookup(name, { all: true })).map(({ address }) => address);

/**
 * Tells the addresses of the URLs' hosts: at once those that are written as addresses, then, every `everyMs`, with what the resolver says of names.
 * What a name had stays told while the resolver does not answer. A URL that is none is passed over.
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
  const tell = (): void => onAddresses([...new Set([...known.values()].flat())]);

  async function look(): Promise<void> {
    for (const name of names) {
      const addresses = await resolve(name).catch(() => undefined);
      if (addresses) known.set(name, addresses);
    }
    if (!closed) tell();
  }

  tell();
  const timer = names.length > 0 ? setInterval(() => void look(), everyMs) : undefined;
  if (names.length > 0) void look();
  return {
    close() {
      closed = true;
      clearInterval(timer);
    },
  };
}
