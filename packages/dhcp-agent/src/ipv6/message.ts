// Answers DHCPv6 (RFC 8415) for one port. Pure: takes a guest's message as bytes, and returns the answer as bytes. Nothing is remembered between messages. The port's addresses belong to
// any client on its tap, whatever its identifier, so a rebuilt guest gets them at once, and no message of a guest can take them away.
import { createHash } from 'node:crypto';
import { addressBytes, addressFromBytes, type IpAddress } from '@calico-openstack/addresses';
import { domainBytes } from '../service/extra-options.ts';
import { option6 } from '../service/ipv6.ts';
import type { Ipv6Service } from '../service/service.ts';

/** DHCPv6 message types (RFC 8415 7.3). */
export const messageType = {
  solicit: 1,
  advertise: 2,
  request: 3,
  confirm: 4,
  renew: 5,
  rebind: 6,
  reply: 7,
  release: 8,
  decline: 9,
  informationRequest: 11,
} as const;
const option = {
  clientId: 1,
  serverId: 2,
  nonTemporary: 3,
  temporary: 4,
  address: 5,
  requested: 6,
  preference: 7,
  status: 13,
  rapidCommit: 14,
  prefix: 25,
} as const;
const status = { success: 0, noAddresses: 2, notOnLink: 4, noPrefix: 6 } as const;

/** The parts of a port's service that DHCPv6 needs. */
export type Held = Pick<Ipv6Service, 'leases' | 'dhcp' | 'dnsServers' | 'domain' | 'options'>;

/** The facts of the server in an answer. */
export type Server = {
  readonly duid: Uint8Array;
  /** How long leases are valid, in seconds; undefined means for ever. */
  readonly leaseSeconds: number | undefined;
};

/**
 * The server's DHCPv6 identifier (a DUID-UUID, RFC 6355), the same on every host: a guest renews with the server that it knows, and finds it on the host that it was migrated to.
 * Each tap is a link of its own, so no link has two servers.
 */
export const serverDuid: Uint8Array = makeServerDuid();

function makeServerDuid(): Uint8Array {
  const digest = createHash('sha256').update('calico-dhcp-agent').digest().subarray(0, 16);
  digest[6] = (digest[6]! & 0x0f) | 0x80; // a UUID of version 8, for custom formats (RFC 9562)
  digest[8] = (digest[8]! & 0x3f) | 0x80;
  return Uint8Array.of(0, 4, ...digest);
}

/** An answer, and the type of the message that it answers. */
export type Answer = { readonly to: keyof typeof messageType; readonly message: Uint8Array };

/** RFC 8415 11.1: a DUID has at most 128 bytes behind its type. */
const longestDuid = 130;
/** A message with more identity associations is not a client's, and gets no answer. */
const mostAssociations = 16;
const forEver = 0xffff_ffff;

const typeNames = new Map(Object.entries(messageType).map(([name, type]) => [type as number, name as keyof typeof messageType]));

/** Whether a message must name this server (RFC 8415 16), must name none, or may name it. */
const namesServer: Partial<Record<keyof typeof messageType, 'yes' | 'no' | 'maybe'>> = {
  solicit: 'no',
  request: 'yes',
  confirm: 'no',
  renew: 'yes',
  rebind: 'no',
  release: 'yes',
  decline: 'yes',
  informationRequest: 'maybe',
};

/**
 * The server's answer to a guest's message. The port's own addresses are granted for the lease's time. Any other address gets a lifetime of zero, which makes the guest give it up. RELEASE
 * and DECLINE are confirmed and change nothing, because in a routed network nobody else has the address. undefined for messages that a client may not send or that get no answer.
 */
export function answer(message: Uint8Array, held: Held, server: Server): Answer | undefined {
  const to = typeNames.get(message[0] ?? 0);
  const naming = to && namesServer[to];
  const options = naming && readOptions(message.subarray(4));
  if (to === undefined || naming === undefined || options === undefined || held.dhcp === 'none') return undefined;
  const client = options.find(({ code }) => code === option.clientId)?.value;
  if (client ? client.length < 2 || client.length > longestDuid : to !== 'informationRequest') return undefined;
  const named = options.find(({ code }) => code === option.serverId)?.value;
  if (named ? naming === 'no' || Buffer.compare(named, server.duid) !== 0 : naming === 'yes') return undefined;
  const associations = options.filter(isAssociation);
  if (associations.length > mostAssociations) return undefined;
  const inside = contentOf(to, options, associations, held, server);
  if (inside === undefined) return undefined;
  const isOffer = to === 'solicit' && !options.some(({ code }) => code === option.rapidCommit);
  return {
    to,
    message: Buffer.concat([
      Uint8Array.of(isOffer ? messageType.advertise : messageType.reply),
      message.subarray(1, 4),
      ...(client ? [writeOption(option.clientId, client)] : []),
      writeOption(option.serverId, server.duid),
      // With the highest preference a client does not wait a second for other servers (RFC 8415 18.2.1). There are none.
      ...(isOffer ? [writeOption(option.preference, Uint8Array.of(255))] : []),
      ...(to === 'solicit' && !isOffer ? [writeOption(option.rapidCommit, new Uint8Array())] : []),
      ...inside,
    ]),
  };
}

const isAssociation = ({ code, value }: Option): boolean =>
  (code === option.nonTemporary && value.length >= 12) || (code === option.temporary && value.length >= 4) || (code === option.prefix && value.length >= 12);

/** The options of the answer behind the identifiers; undefined when there is no answer. */
function contentOf(
  to: keyof typeof messageType,
  options: readonly Option[],
  associations: readonly Option[],
  held: Held,
  server: Server,
): readonly Uint8Array[] | undefined {
  switch (to) {
    case 'solicit':
    case 'request':
    case 'renew':
    case 'rebind':
      return associations.length === 0 ? undefined : [...granted(associations, held, server), ...told(options, held)];
    case 'confirm': {
      const addresses = associations.flatMap(addressesIn);
      // RFC 8415 18.3.3: without addresses there is nothing to confirm.
      return addresses.length === 0
        ? undefined
        : [statusOption(addresses.every((address) => held.leases.includes(address)) ? status.success : status.notOnLink)];
    }
    case 'release':
    case 'decline':
      return [statusOption(status.success)];
    case 'informationRequest':
      return associations.length > 0 ? undefined : told(options, held);
    default:
      return undefined;
  }
}

/** The associations with their granted addresses. Each of the port's addresses is granted once: in the association that names it, otherwise in the first one. */
function granted(associations: readonly Option[], held: Held, { leaseSeconds }: Server): readonly Uint8Array[] {
  const validSeconds = leaseSeconds ?? forEver;
  // T1 and T2: half and seven eighths of the lease, as Dnsmasq computes them for DHCPv4.
  const [renewSeconds, rebindSeconds] = leaseSeconds === undefined ? [forEver, forEver] : [Math.floor(leaseSeconds / 2), Math.floor((leaseSeconds * 7) / 8)];
  const named = new Set(associations.flatMap(({ code, value }) => (code === option.nonTemporary ? addressesIn({ code, value }) : [])));
  let left: readonly IpAddress[] = held.leases.filter((address) => !named.has(address));
  const given = new Set<IpAddress>();
  return associations.map(({ code, value }) => {
    if (code === option.temporary) return writeOption(code, Buffer.concat([value.subarray(0, 4), statusOption(status.noAddresses)]));
    if (code === option.prefix) return writeOption(code, Buffer.concat([value.subarray(0, 4), u32(0), u32(0), statusOption(status.noPrefix)]));
    const asked = addressesIn({ code, value });
    const mine = [...asked.filter((address) => held.leases.includes(address) && !given.has(address)), ...left];
    left = [];
    for (const address of mine) given.add(address);
    const others = asked.filter((address) => !mine.includes(address));
    const inside = [...mine, ...others].map((address) => {
      const seconds = mine.includes(address) ? validSeconds : 0;
      return writeOption(option.address, Buffer.concat([addressBytes(address), u32(seconds), u32(seconds)]));
    });
    if (mine.length === 0) inside.push(statusOption(status.noAddresses));
    return writeOption(code, Buffer.concat([value.subarray(0, 4), u32(renewSeconds), u32(rebindSeconds), ...inside]));
  });
}

/** The addresses that an association names, each once. */
function addressesIn({ code, value }: Option): readonly IpAddress[] {
  const inside = code === option.nonTemporary ? (readOptions(value.subarray(12)) ?? []) : [];
  const named = inside.filter((one) => one.code === option.address && one.value.length >= 24);
  return [...new Set(named.map((one) => addressFromBytes(one.value.subarray(0, 16))))];
}

/** The options that the client requests; all when it does not list any. */
function told(options: readonly Option[], { dnsServers, domain, options: more }: Held): readonly Uint8Array[] {
  const requested = options.find(({ code }) => code === option.requested)?.value;
  const wants = (code: number): boolean =>
    requested === undefined || Array.from({ length: requested.length >> 1 }, (_, index) => u16At(requested, 2 * index)).includes(code);
  const values = new Map<number, Uint8Array>();
  if (dnsServers.length > 0) values.set(option6.dnsServers, Buffer.concat(dnsServers.map((address) => addressBytes(address))));
  if (domain !== undefined) values.set(option6.domainSearch, domainBytes(domain));
  for (const { code, hex } of more) values.set(code, Buffer.from(hex, 'hex'));
  return [...values].filter(([code]) => wants(code)).map(([code, value]) => writeOption(code, value));
}

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
