// ARP for IPv4 over Ethernet in a frame (RFC 826). Pure.

/** An ARP message. MACs have six bytes, addresses four. */
export type Arp = {
  readonly operation: 'request' | 'reply';
  readonly senderMac: Uint8Array;
  readonly sender: Uint8Array;
  readonly targetMac: Uint8Array;
  readonly target: Uint8Array;
};

/** The EtherType of ARP. */
export const arpEtherType = 0x0806;
/** The offset of the operation in a frame: 1 is a request, 2 a reply. */
export const arpOperationAt = 20;
/** Hardware type Ethernet, protocol IPv4, and the lengths of their addresses. */
const overEthernet = Uint8Array.of(0, 1, 8, 0, 6, 4);
const frameBytes = 42;

/** The Ethernet frame with this message. @param destinationMac where the frame goes */
export function arpMessageFrame({ operation, senderMac, sender, targetMac, target }: Arp, destinationMac: Uint8Array): Uint8Array {
  const frame = new Uint8Array(frameBytes);
  frame.set(destinationMac, 0);
  frame.set(senderMac, 6);
  frame.set([arpEtherType >> 8, arpEtherType & 0xff], 12);
  frame.set(overEthernet, 14);
  frame.set([0, operation === 'request' ? 1 : 2], arpOperationAt);
  frame.set(senderMac, 22);
  frame.set(sender, 28);
  frame.set(targetMac, 32);
  frame.set(target, 38);
  return frame;
}

/** Parses a frame; undefined for anything but a request or a reply of IPv4 over Ethernet. */
export function parseArp(frame: Uint8Array): Arp | undefined {
  const operation = frame[arpOperationAt + 1];
  if (frame.length < frameBytes || ((frame[12]! << 8) | frame[13]!) !== arpEtherType) return undefined;
  if (Buffer.compare(frame.subarray(14, 20), overEthernet) !== 0 || frame[arpOperationAt] !== 0 || (operation !== 1 && operation !== 2)) return undefined;
  return {
    operation: operation === 1 ? 'request' : 'reply',
    senderMac: frame.subarray(22, 28),
    sender: frame.subarray(28, 32),
    targetMac: frame.subarray(32, 38),
    target: frame.subarray(38, 42),
  };
}
