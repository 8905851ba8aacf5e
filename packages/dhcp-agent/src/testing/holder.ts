// Somebody on a guest's link who has the guest's address at first.
import { addressBytes } from '@calico-openstack/addresses';
import { arpFrame } from '@calico-openstack/kernel/testing/frames';
import { openWire } from '@calico-openstack/kernel/testing/wire';
import type { TestPort } from './etcd-values.ts';
import type { World } from './world.ts';

/** An ARP probe (RFC 5227 2.1.1) is a request from 0.0.0.0. */
const probeStart = '08060001080006040001';

/** Answers the first ARP probe of the port's guest for the port's first address, and says how many it has answered. */
export function holdsOnce(world: World, { tap, mac, addresses: [address = ''] }: TestPort): { readonly answered: number; close(): void } {
  const index = Number(world.host('cat', `/sys/class/net/${tap}/ifindex`));
  const wire = openWire(world.namespace);
  const answer = arpFrame({
    operation: 2,
    senderMac: 'fa:16:3e:00:00:99',
    sender: addressBytes(address),
    targetMac: mac,
    target: addressBytes('0.0.0.0'),
  });
  let answered = 0;
  const listening = setInterval(() => {
    for (const { interfaceIndex, frame } of wire.receive()) {
      const isProbe =
        interfaceIndex === index && Buffer.from(frame.subarray(12, 22)).toString('hex') === probeStart && frame.subarray(28, 32).every((byte) => byte === 0);
      if (!isProbe || answered > 0) continue;
      answered += 1;
      wire.send(index, answer);
    }
  }, 1);
  return {
    get answered() {
      return answered;
    },
    close() {
      clearInterval(listening);
      wire.close();
    },
  };
}
