// Lists and destroys the sets of the `ipset` tool, which rules of iptables use. This project makes none.
import { existsSync } from 'node:fs';
import { findAttribute, flag, type MessageWriter, readString, requestMessage } from '../netlink/attributes.ts';
import { NetlinkError, type NetlinkSocket, netlinkProtocol, openNetlinkSocket } from '../netlink/socket.ts';

/** linux/netfilter/ipset/ip_set.h */
const subsystem = 6;
const command = { destroy: 3, list: 7 } as const;
const attribute = { protocol: 1, setName: 2, flags: 6 } as const;
/** The oldest version of the protocol that kernels still accept. All kernels accept these two commands with it. */
const protocol = 6;
const namesOnly = 1 << 1;
/** struct nfgenmsg: family (IPv4; a name says which set is meant), version, resource. */
const header = new Uint8Array([2, 0, 0, 0]);
const headerLength = 4;

/** Why a set could not be destroyed: `IN_USE` when a rule or another set uses it, otherwise the errno's name. */
export type IpsetRefusal = { readonly name: string; readonly code: string };

/** The names of all sets in the calling thread's network namespace. Empty when the kernel has not loaded ipset, because a request would load it. @throws NetlinkError when the kernel refuses */
export function ipsetNames(): readonly string[] {
  if (!isLoaded()) return [];
  return withSocket((socket) => {
    const request = message(socket, command.list, flag.dump, (writer) => writer.be32(attribute.flags, namesOnly));
    const { answers, refusals } = socket.exchange([request]);
    const refusal = refusals.find(({ code }) => code !== 'ENOENT');
    if (refusal) throw new NetlinkError(refusal.code, `the kernel does not tell of its ipsets: ${refusal.code}`);
    const names = answers.flatMap(({ payload }) => findAttribute(payload, headerLength, attribute.setName) ?? []);
    return names.map(readString);
  });
}

/** Destroys sets, each by itself. Returns those that the kernel refuses to destroy. A set that does not exist is not a refusal. */
export function destroyIpsets(names: readonly string[]): readonly IpsetRefusal[] {
  if (names.length === 0 || !isLoaded()) return [];
  return withSocket((socket) =>
    names.flatMap((name) => {
      const request = message(socket, command.destroy, flag.acknowledge, (writer) => writer.string(attribute.setName, name));
      const refusal = socket.exchange([request]).refusals.find(({ code }) => code !== 'ENOENT');
      return refusal ? [{ name, code: refusal.code === busy ? 'IN_USE' : refusal.code }] : [];
    }),
  );
}

/** IPSET_ERR_BUSY, a number of ipset's own, as `errnoName` prints a number without a name. */
const busy = 'E4100';

/** Whether the kernel has ipset, loaded or built in. A built-in module is listed in /sys/module because it has a parameter. */
const isLoaded = (): boolean => existsSync('/sys/module/ip_set');

const message = (socket: NetlinkSocket, number: number, flags: number, write: (writer: MessageWriter) => void): Uint8Array =>
  requestMessage((subsystem << 8) | number, flags, socket.nextSequence(), header, (writer) => {
    writer.u8(attribute.protocol, protocol);
    write(writer);
  });

function withSocket<T>(use: (socket: NetlinkSocket) => T): T {
  const socket = openNetlinkSocket(netlinkProtocol.netfilter);
  try {
    return use(socket);
  } finally {
    socket.close();
  }
}
