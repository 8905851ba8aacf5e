// Lets Dnsmasq start on a host that has no taps yet. With --bind-interfaces Dnsmasq ends at its start when no address belongs to one of its interfaces, which it tells by the label of the
// address. So while it starts, an address of the loopback has the label of a tap.
import type { LinkEditor } from '@calico-openstack/kernel/links/link';

/** Dnsmasq's pattern `tap*` needs at least one more character. */
const label = 'tap-';
const [loopback, address, prefixLength] = ['lo', '127.0.67.67', 32] as const;

/** Starts Dnsmasq by calling `start`, and resolves as it does. The address is gone afterwards. When the kernel refuses it, Dnsmasq can start only if there are taps. */
export async function startWithoutTaps<T>(links: LinkEditor, start: () => Promise<T>): Promise<T> {
  links.addAddress(loopback, address, prefixLength, { noPrefixRoute: true, scope: scopeHost, label });
  try {
    return await start();
  } finally {
    links.removeAddress(loopback, address, prefixLength);
  }
}

/** RT_SCOPE_HOST: the address is for this host alone. */
const scopeHost = 254;
