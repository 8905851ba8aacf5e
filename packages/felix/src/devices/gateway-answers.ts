// Answers workloads that ask by ARP for the MAC of their gateway. The kernel answers for it too as long as the host has a route to it (`proxy_arp`), or has it on the tap. It does not
// on a host without a default route, and where `arp_ignore` is 2 or 8; there a workload without this answer would have no network.
import { addressFromBytes, macBytes } from '@calico-openstack/addresses';
import { arpEtherType, arpMessageFrame, arpOperationAt, openPacketSocket, parseArp } from '@calico-openstack/kernel';

/** Requests only: loads the operation, and compares it with 1. */
const requests = [
  [0x28, 0, 0, arpOperationAt],
  [0x15, 1, 0, 1],
  [0x06, 0, 0, 0],
  [0x06, 0, 0, 0xffff_ffff],
] as const;
/** The allowance of each link. A guest asks once, and again after a second without an answer. */
const limit = { atOnce: 8, everyMs: 100 };

/**
 * Answers until closed.
 * @param macFor the MAC to answer with to a request for an address that came in on a link; undefined when the host does not answer there
 * @throws NetlinkError without CAP_NET_RAW
 */
export function openGatewayAnswers(macFor: (linkIndex: number, address: string) => string | undefined): { close(): void } {
  const socket = openPacketSocket(arpEtherType, requests, limit, ({ linkIndex, bytes }) => {
    const request = parseArp(bytes);
    const mac = request && macFor(linkIndex, addressFromBytes(request.target));
    if (!mac) return;
    const answer = { operation: 'reply', senderMac: macBytes(mac), sender: request.target, targetMac: request.senderMac, target: request.sender } as const;
    socket.send(linkIndex, arpMessageFrame(answer, request.senderMac));
  });
  return socket;
}
