// The DHCPv6 messages that this agent reads and writes itself (RFC 8415): REBIND and DECLINE with their answers, SOLICIT, RELEASE. Pure: a guest's bytes in, answers' bytes out.
import { addressBytes, addressFromBytes, type IpAddress } from '@calico-openstack/addresses';
import type { Holder } from '../dnsmasq/leases.ts';
import { option6 } from '../service/ipv6.ts';

/** DHCPv6 message types (RFC 8415 7.3). */
export const messageType = { solicit: 1, rebind: 6, reply: 7, release: 8, decline: 9 } as const;
const option = { clientId: 1, serverId: 2, nonTemporary: 3, address: 5, requested: 6, status: 13 } as const;
const status = { success: 0, noBinding: 3 } as const;

/** What a port has leased, and the options that its guest gets with it. */
export type Held = {
  readonly leases: readonly IpAddress[];
  readonly dnsServers: readonly IpAddress[];
  readonly domainSearch: string | undefined;
};

/** What an answer says of the server. */
export type Server = {
  readonly duid: Uint8Array;
  /** How long leases are valid, in seconds; undefined means for ever. */
  readonly leaseSeconds: number | undefined;
};

/** An answer, and the type of the message that it answers. */
export type Answer = { readonly to: 'rebind' | 'decline'; readonly message: Uint8Array };

/** RFC 8415 11.1: a DUID has at most 128 bytes behind its type. */
const longestDuid = 130;
/** A message with more identity associations is not a client's, and gets no answer. */
const mostAssociations = 16;
const forEver = 0xffff_ffff;

/**
 * The server's answer to a guest's message. A REBIND gets the port's own addresses for as long as Dnsmasq leases them, and a lifetime of zero for any other, which makes the guest
 * give it up. A DECLINE gets a confirmation and nothing more: in a routed network nobody else has the address. undefined for any other message, or one that a client may not send.
 */
export function answer(message: Uint8Array, held: Held, server: Server): Answer | undefined {
  const to = message[0] === messageType.rebind ? 'rebind' : message[0] === messageType.decline ? 'decline' : undefined;
  const options = to === undefined ? undefined : readOptions(message.subarray(4));
  if (to === undefined || options === undefined) return undefined;
  const client = options.find(({ code }) => code === option.clientId)?.value;
  if (client === undefined || client.length < 2 || client.length > longestDuid) return undefined;
  const named = options.find(({ code }) => code === option.serverId)?.value;
  // RFC 8415 16.7, 16.9: a REBIND is to any server, a DECLINE to one.
  if (to === 'rebind' ? named !== undefined : named === undefined || Buffer.compare(named, server.duid) !== 0) return undefined;
  const inside = to === 'rebind' ? rebound(options, held, server) : [statusOption(status.success)];
  if (inside.length === 0) return undefined;
  return {
    to,
    message: Buffer.concat([
      Uint8Array.of(messageType.reply),
      message.subarray(1, 4),
      writeOption(option.clientId, client),
      writeOption(option.serverId, server.duid),
      ...inside,
    ]),
  };
}

function rebound(options: readonly Option[], held: Held, { leaseSeconds }: Server): readonly Uint8Array[] {
  const associations = options.filter(({ code, value }) => code === option.nonTemporary && value.length >= 12).slice(0, mostAssociations);
  if (associations.length === 0) return [];
  const validSeconds = leaseSeconds ?? forEver;
  // T1 and T2 as Dnsmasq computes them.
  const [renewSeconds, rebindSeconds] = leaseSeconds === undefined ? [forEver, forEver] : [Math.floor(leaseSeconds / 2), Math.floor((leaseSeconds * 7) / 8)];
  const answers = associations.map(({ value }) => {
    const named = (readOptions(value.subarray(12)) ?? []).filter((one) => one.code === option.address && one.value.length >= 24);
    const addresses = [...new Set(named.map((one) => addressFromBytes(one.value.subarray(0, 16))))];
    const inside = addresses.map((address) => {
      const seconds = held.leases.includes(address) ? validSeconds : 0;
      return writeOption(option.address, Buffer.concat([addressBytes(address), u32(seconds), u32(seconds)]));
    });
    if (inside.length === 0) inside.push(statusOption(status.noBinding));
    return writeOption(option.nonTemporary, Buffer.concat([value.subarray(0, 4), u32(renewSeconds), u32(rebindSeconds), ...inside]));
  });
  const requested = options.find(({ code }) => code === option.requested)?.value;
  const wants = (code: number): boolean =>
    requested === undefined || Array.from({ length: requested.length >> 1 }, (_, index) => u16At(requested, 2 * index)).includes(code);
  return [
    ...answers,
    ...(held.dnsServers.length > 0 && wants(option6.dnsServers)
      ? [writeOption(option6.dnsServers, Buffer.concat(held.dnsServers.map((address) => addressBytes(address))))]
      : []),
    ...(held.domainSearch !== undefined && wants(option6.domainSearch) ? [writeOption(option6.domainSearch, nameBytes(held.domainSearch))] : []),
  ];
}

/** The client of a SOLICIT, with its associations. undefined when the message is no SOLICIT, or names no client. */
export function readSolicit(message: Uint8Array): { readonly duid: Uint8Array; readonly iaids: readonly number[] } | undefined {
  const options = message[0] === messageType.solicit ? readOptions(message.subarray(4)) : undefined;
  const duid = options?.find(({ code }) => code === option.clientId)?.value;
  const associations = options?.filter(({ code, value }) => code === option.nonTemporary && value.length >= 12).slice(0, mostAssociations) ?? [];
  if (duid === undefined || duid.length < 2 || duid.length > longestDuid || associations.length === 0) return undefined;
  return { duid, iaids: associations.map(({ value }) => u16At(value, 0) * 0x1_0000 + u16At(value, 2)) };
}

/** A RELEASE (RFC 8415 16.9) by which the holder of an address would return it to the server. */
export const release = (address: IpAddress, { duid, iaid }: Holder, server: Pick<Server, 'duid'>): Uint8Array =>
  Buffer.concat([
    Uint8Array.of(messageType.release, 0, 0, 0),
    writeOption(option.clientId, duid),
    writeOption(option.serverId, server.duid),
    writeOption(
      option.nonTemporary,
      Buffer.concat([u32(iaid), u32(0), u32(0), writeOption(option.address, Buffer.concat([addressBytes(address), u32(0), u32(0)]))]),
    ),
  ]);

type Option = { readonly code: number; readonly value: Uint8Array };

/** The options of a message. undefined when one claims to be longer than the message. */
function readOptions(bytes: Uint8Array): readonly Option[] | undefined {
  const options: Option[] = [];
  let at = 0;
  while (at + 4 <= bytes.length) {
    const end = at + 4 + u16At(bytes, at + 2);
    if (end > bytes.length) return undefined;
    options.push({ code: u16At(bytes, at), value: bytes.subarray(at + 4, end) });
    at = end;
  }
  return at === bytes.length ? options : undefined;
}

const u16At = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!;
const u16 = (value: number): Uint8Array => Uint8Array.of(value >> 8, value & 255);
const u32 = (value: number): Uint8Array => Uint8Array.of(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
const writeOption = (code: number, value: Uint8Array): Uint8Array => Buffer.concat([u16(code), u16(value.length), value]);
const statusOption = (code: number): Uint8Array => writeOption(option.status, u16(code));
/** A domain name as bytes (RFC 1035 3.1, uncompressed). */
const nameBytes = (name: string): Uint8Array =>
  Buffer.concat([...name.split('.').map((label) => Buffer.from([label.length, ...Buffer.from(label)])), Uint8Array.of(0)]);
