// Creates flows for tests without packets.

import { familyOf } from '@calico-openstack/addresses';
import { MessageWriter } from '../../netlink/attributes.ts';
import { netlinkProtocol, openNetlinkSocket } from '../../netlink/socket.ts';
import type { Flow, FlowTuple } from '../flow.ts';
import { writeCreation } from '../messages.ts';

/** A UDP flow. `answeredAs` overrides the addresses of the reply direction, as NAT does. */
export function udpFlow(
  source: string,
  destination: string,
  ports: readonly [number, number] = [40_000, 53],
  answeredAs: { readonly source?: string; readonly destination?: string } = {},
): Flow {
  const original: FlowTuple = { protocol: 17, source, destination, sourcePort: ports[0], destinationPort: ports[1] };
  const reply = { protocol: 17, source: destination, destination: source, sourcePort: ports[1], destinationPort: ports[0], ...answeredAs };
  return { family: familyOf(source), original, reply, zone: 0 };
}

/** Makes the kernel track these flows for `seconds`, in the calling thread's namespace. Throws when it refuses one. */
export function trackFlows(flows: readonly Flow[], seconds = 600): void {
  const socket = openNetlinkSocket(netlinkProtocol.netfilter);
  const writer = new MessageWriter();
  for (let first = 0; first < flows.length; first += 500) {
    writer.reset();
    for (const flow of flows.slice(first, first + 500)) writeCreation(writer, socket.nextSequence(), flow, seconds);
    const [refusal] = socket.exchange([writer.bytes()]).refusals;
    if (refusal) throw new Error(`the kernel refuses a flow: ${refusal.code} ${refusal.detail ?? ''}`);
  }
  socket.close();
}
