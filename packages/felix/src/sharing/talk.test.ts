import { addressBytes, type IpAddress, linkLocalBytes, macBytes } from '@calico-openstack/addresses';
import { icmp6Frame, parseArp, parseIcmp6 } from '@calico-openstack/kernel';
import { arpFrame } from '@calico-openstack/kernel/testing/frames';
import { describe, expect, test } from 'vitest';
import { arpQuestion, readAdvertisement, readArp, solicitation } from './talk.ts';

const mac = 'fa:16:3e:00:00:01';
const bytes = (address: string): Uint8Array => addressBytes(address as IpAddress);
const arp = (operation: 1 | 2, sender: string, target: string): Uint8Array =>
  arpFrame({ operation, senderMac: mac, sender: bytes(sender), target: bytes(target) });

describe('ARP', () => {
  test.each([
    ['a request for the own address announces it', arp(1, '10.0.0.100', '10.0.0.100'), 'announcement'],
    ['a reply about the own address announces it', arp(2, '10.0.0.100', '10.0.0.100'), 'announcement'],
    ['another reply answers', arp(2, '10.0.0.100', '10.0.0.1'), 'answer'],
  ])('%s', (_, frame, is) => expect(readArp(frame)).toEqual({ is, address: '10.0.0.100', macs: [mac, mac] }));
  test('a request for another address says nothing', () => expect(readArp(arp(1, '10.0.0.100', '10.0.0.1'))).toBeUndefined());
  test('the MAC in the frame’s header counts too', () => {
    const frame = arp(2, '10.0.0.100', '10.0.0.1');
    frame.set(macBytes('fa:16:3e:00:00:02'), 6);
    expect(readArp(frame)?.macs).toEqual(['fa:16:3e:00:00:02', mac]);
  });
  test('the host asks all of the guest, in the gateway’s name, or in nobody’s', () => {
    const end = { index: 7, mac: 'fe:16:3e:00:00:01' };
    const question = arpQuestion(end, '10.0.0.100' as IpAddress, '10.0.0.1' as IpAddress);
    expect(question.subarray(0, 6)).toEqual(new Uint8Array(6).fill(0xff));
    expect(parseArp(question)).toMatchObject({ operation: 'request', senderMac: macBytes(end.mac), sender: bytes('10.0.0.1'), target: bytes('10.0.0.100') });
    expect(parseArp(arpQuestion(end, '10.0.0.100' as IpAddress, undefined))?.sender).toEqual(new Uint8Array(4));
  });
});

describe('neighbour discovery', () => {
  const advertisement = (flags: number, target: string, type = 136): Uint8Array =>
    icmp6Frame({
      sourceMac: macBytes(mac),
      destinationMac: macBytes('33:33:00:00:00:01'),
      source: linkLocalBytes(mac),
      destination: bytes('ff02::1'),
      message: Uint8Array.from([type, 0, 0, 0, flags, 0, 0, 0, ...bytes(target), 2, 1, ...macBytes(mac)]),
    });
  test.each([
    ['an unsolicited advertisement announces', 0x20, 'announcement'],
    ['a solicited one answers', 0x60, 'answer'],
  ])('%s', (_, flags, is) => expect(readAdvertisement(advertisement(flags, 'fd00::100'))).toEqual({ is, address: 'fd00::100', macs: [mac] }));
  test('nothing else says anything', () => {
    expect(readAdvertisement(advertisement(0x20, 'fd00::100', 135))).toBeUndefined();
    expect(readAdvertisement(advertisement(0x20, 'fd00::100').subarray(0, 60))).toBeUndefined();
    const spoilt = advertisement(0x20, 'fd00::100');
    spoilt[70] = spoilt[70]! ^ 1;
    expect(readAdvertisement(spoilt)).toBeUndefined();
  });
  test('the host solicits the address from its link-local one', () => {
    const end = { index: 7, mac: 'fe:16:3e:00:00:01' };
    const frame = solicitation(end, 'fd00::1:2345' as IpAddress);
    expect(frame.subarray(0, 6)).toEqual(macBytes('33:33:ff:01:23:45'));
    expect(parseIcmp6(frame)).toMatchObject({ source: linkLocalBytes(end.mac), destination: bytes('ff02::1:ff01:2345') });
    expect(parseIcmp6(frame)!.message.subarray(8, 24)).toEqual(bytes('fd00::1:2345'));
  });
});
