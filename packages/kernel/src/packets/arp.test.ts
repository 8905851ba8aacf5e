import { addressBytes, type IpAddress, macBytes } from '@calico-openstack/addresses';
import { expect, test } from 'vitest';
import { arpFrame } from '../testing/frames.ts';
import { type Arp, arpMessageFrame, parseArp } from './arp.ts';

const message: Arp = {
  operation: 'reply',
  senderMac: macBytes('fe:16:3e:00:00:01'),
  sender: addressBytes('10.65.0.1' as IpAddress),
  targetMac: macBytes('fa:16:3e:00:00:01'),
  target: addressBytes('10.65.0.11' as IpAddress),
};

test('a message is what the tests’ own frames are, and is read back', () => {
  const frame = arpMessageFrame(message, message.targetMac);
  const options = { operation: 2, senderMac: 'fe:16:3e:00:00:01', sender: message.sender, targetMac: 'fa:16:3e:00:00:01', target: message.target } as const;
  expect(frame).toEqual(arpFrame({ ...options, destinationMac: 'fa:16:3e:00:00:01' }));
  expect(parseArp(frame)).toEqual(message);
  expect(parseArp(arpMessageFrame({ ...message, operation: 'request' }, message.targetMac))?.operation).toBe('request');
});

test.each([
  ['a truncated frame', (frame: Uint8Array) => frame.subarray(0, 41)],
  ['another EtherType', (frame: Uint8Array) => frame.fill(8, 13, 14)],
  ['another hardware', (frame: Uint8Array) => frame.fill(6, 15, 16)],
  ['another operation', (frame: Uint8Array) => frame.fill(3, 21, 22)],
])('%s is none', (_, spoil) => expect(parseArp(spoil(arpMessageFrame(message, message.targetMac)))).toBeUndefined());
