import { icmp6Frame, udp6Frame } from '@calico-openstack/kernel';
import { expect, test } from 'vitest';
import { guestMessages } from './guest-messages.ts';

/** Runs a classic packet filter (linux/filter.h) of those instructions that the agent uses. Returns how many bytes of the frame are kept. */
function kept(frame: Uint8Array): number {
  let loaded = 0;
  for (let at = 0; ; at += 1) {
    const [code, ifTrue, ifFalse, operand] = guestMessages[at]!;
    if (code !== 0x15 && (ifTrue !== 0 || ifFalse !== 0)) throw new Error(`instruction ${at} does not jump, and says where to`);
    if (code === 0x06) return Math.min(operand, frame.length);
    if (code === 0x15) at += loaded === operand ? ifTrue : ifFalse;
    else if (code === 0x30) loaded = frame[operand]!;
    else if (code === 0x28) loaded = (frame[operand]! << 8) | frame[operand + 1]!;
    else throw new Error(`instruction ${code} is not known`);
  }
}

const addresses = {
  sourceMac: new Uint8Array(6).fill(2),
  destinationMac: new Uint8Array(6).fill(4),
  source: new Uint8Array(16).fill(0xfe),
  destination: new Uint8Array(16).fill(0xff),
};
const udp = (destinationPort: number): Uint8Array => udp6Frame({ ...addresses, sourcePort: 547, destinationPort, payload: new Uint8Array(4).fill(133) });
const icmp = (type: number): Uint8Array => icmp6Frame({ ...addresses, message: Uint8Array.of(type, 0, 0, 0, 0, 0, 0, 0) });
/** The same frame as one of another protocol. */
const as = (protocol: number, frame: Uint8Array): Uint8Array => frame.with(20, protocol);

test.each<[string, Uint8Array, boolean]>([
  ['DHCPv6 to a server', udp(547), true],
  ['a router solicitation', icmp(133), true],
  ['DHCPv6 to a client', udp(546), false],
  ['DNS', udp(53), false],
  ['a port that has only the lower byte of 547', udp(547 & 0xff), false],
  ['a port that has only the higher byte of 547', udp(547 & 0xff00), false],
  ['TCP to port 547', as(6, udp(547)), false],
  ['ICMPv6 that has 547 where UDP has its port', as(58, udp(547)), false],
  ['UDP that has 133 where ICMPv6 has its type', as(17, icmp(133)), false],
  ['TCP that has 133 there', as(6, icmp(133)), false],
  ['a router advertisement', icmp(134), false],
  ['a neighbour solicitation', icmp(135), false],
  ['an echo request', icmp(128), false],
])('%s reaches the agent: %#', (_, frame, reaches) => expect(kept(frame)).toBe(reaches ? frame.length : 0));
