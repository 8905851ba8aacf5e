// Encodes and decodes qdiscs and filters for rtnetlink (linux/rtnetlink.h, linux/pkt_sched.h, linux/pkt_cls.h, linux/tc_act/tc_mirred.h).
import { unreachable } from '@calico-openstack/agent/errors';
import { flag, hostIsLittleEndian, type MessageWriter, readAttributes, readI32, readString, readU32, readU64, requestMessage } from '../netlink/attributes.ts';
import type { NetlinkMessage } from '../netlink/socket.ts';
import {
  bucketHandle,
  checkBucket,
  type HeldBucket,
  type IngressFilter,
  type QdiscOperation,
  type RootQdisc,
  redirectPriority,
  type TokenBucket,
} from './qdisc.ts';

const type = { newQdisc: 36, deleteQdisc: 37, getQdisc: 38, newFilter: 44, deleteFilter: 45, getFilter: 46 } as const;
/** RTNLGRP_TC: qdiscs, filters and actions. */
export const qdiscGroups: readonly number[] = [4];

/** TC_H_ROOT */
const rootParent = 0xffff_ffff;
/** TC_H_INGRESS, which is TC_H_CLSACT too. */
const ingressParent = 0xffff_fff1;
/** TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS): where filters of received packets are, be the qdisc `ingress` or `clsact`. */
const filterParent = 0xffff_fff2;
const ingressHandle = 0xffff_0000;

const headerBytes = 20;
const [kindAttribute, optionsAttribute] = [1, 2];
const tbf = { parameters: 1, rate64: 4, peakRate64: 5, burst: 6, peakBurst: 7 } as const;
const u32 = { selector: 5, actions: 7 } as const;
const terminal = 1; // TC_U32_TERMINAL
const [actionKind, actionOptions] = [1, 2];
const mirredParameters = 2;
const [stolen, egressRedirect] = [4, 1]; // TC_ACT_STOLEN, TCA_EGRESS_REDIR
const ethernet = 1; // TC_LINKLAYER_ETHERNET: the kernel needs no rate table then
const allProtocols = 0x0003; // ETH_P_ALL

/** struct tcmsg: family, 3 bytes of padding, index, handle, parent, info. */
function header(index: number, handle: number, parent: number, info = 0): Uint8Array {
  const bytes = new Uint8Array(headerBytes);
  const view = new DataView(bytes.buffer);
  view.setInt32(4, index, hostIsLittleEndian);
  view.setUint32(8, handle, hostIsLittleEndian);
  view.setUint32(12, parent, hostIsLittleEndian);
  view.setUint32(16, info, hostIsLittleEndian);
  return bytes;
}

/** The protocol is in network order in the lower half of tcm_info, the priority in the upper. */
const filterInfo = (priority: number, protocol: number): number => ((priority << 16) | swapped(protocol)) >>> 0;
const swapped = (number: number): number => (hostIsLittleEndian ? ((number & 0xff) << 8) | (number >> 8) : number);

/** Writes the message of an operation. Throws RangeError for a bucket that the kernel would not take. */
export function writeOperation(sequence: number, operation: QdiscOperation): Uint8Array {
  const { index } = operation;
  switch (operation.verb) {
    case 'create-root':
    case 'change-root':
      checkBucket(operation.bucket);
      return requestMessage(
        type.newQdisc,
        flag.acknowledge | (operation.verb === 'create-root' ? flag.create | flag.exclusive : 0),
        sequence,
        header(index, bucketHandle, rootParent),
        (writer) => {
          writer.string(kindAttribute, 'tbf');
          writer.nested(optionsAttribute, () => writeBucket(writer, operation.bucket));
        },
      );
    case 'delete-root':
      return requestMessage(type.deleteQdisc, flag.acknowledge, sequence, header(index, operation.handle, rootParent));
    case 'create-ingress':
      return requestMessage(type.newQdisc, flag.acknowledge | flag.create | flag.exclusive, sequence, header(index, ingressHandle, ingressParent), (writer) =>
        writer.string(kindAttribute, 'ingress'),
      );
    case 'delete-ingress':
      return requestMessage(type.deleteQdisc, flag.acknowledge, sequence, header(index, ingressHandle, ingressParent));
    case 'create-redirect':
      return requestMessage(
        type.newFilter,
        flag.acknowledge | flag.create | flag.exclusive,
        sequence,
        header(index, 0, filterParent, filterInfo(redirectPriority, allProtocols)),
        (writer) => writeRedirect(writer, operation.to),
      );
    case 'delete-filter': {
      const { kind, handle, priority, protocol } = operation.filter;
      return requestMessage(type.deleteFilter, flag.acknowledge, sequence, header(index, handle, filterParent, filterInfo(priority, protocol)), (writer) =>
        writer.string(kindAttribute, kind),
      );
    }
    default:
      return unreachable(operation);
  }
}

/** struct tc_tbf_qopt: two tc_ratespec of 12 bytes (the rate at 8 of each), limit, buffer, mtu. The two last are left to the attributes with bytes. */
function writeBucket(writer: MessageWriter, { rateBytesPerSecond, burstBytes, queueBytes, peak }: TokenBucket): void {
  const parameters = new Uint8Array(36);
  const view = new DataView(parameters.buffer);
  const rate = (at: number, bytesPerSecond: number): void => {
    view.setUint8(at + 1, ethernet);
    view.setUint32(at + 8, Math.min(bytesPerSecond, 0xffff_ffff), hostIsLittleEndian);
  };
  rate(0, rateBytesPerSecond);
  if (peak) rate(12, peak.rateBytesPerSecond);
  view.setUint32(24, queueBytes, hostIsLittleEndian);
  writer.binary(tbf.parameters, parameters);
  if (rateBytesPerSecond > 0xffff_ffff) writer.u64(tbf.rate64, BigInt(rateBytesPerSecond));
  if (peak && peak.rateBytesPerSecond > 0xffff_ffff) writer.u64(tbf.peakRate64, BigInt(peak.rateBytesPerSecond));
  writer.u32(tbf.burst, burstBytes);
  if (peak) writer.u32(tbf.peakBurst, peak.burstBytes);
}

/** A u32 filter with one key that matches everything (struct tc_u32_sel), and one action (struct tc_mirred). */
function writeRedirect(writer: MessageWriter, to: number): void {
  const selector = new Uint8Array(32);
  selector.set([terminal, 0, 1]);
  const parameters = new Uint8Array(28);
  const view = new DataView(parameters.buffer);
  view.setInt32(8, stolen, hostIsLittleEndian);
  view.setInt32(20, egressRedirect, hostIsLittleEndian);
  view.setUint32(24, to, hostIsLittleEndian);
  writer.string(kindAttribute, 'u32');
  writer.nested(optionsAttribute, () => {
    writer.binary(u32.selector, selector);
    writer.nested(u32.actions, () =>
      writer.nested(1, () => {
        writer.string(actionKind, 'mirred');
        writer.nested(actionOptions, () => writer.binary(mirredParameters, parameters));
      }),
    );
  });
}

/** Requests the root qdisc, or the ingress qdisc, of a link. Without NLM_F_ECHO only the multicast group would get the answer. */
export const getQdisc = (sequence: number, index: number, which: 'root' | 'ingress'): Uint8Array =>
  requestMessage(type.getQdisc, flag.acknowledge | flag.echo, sequence, header(index, 0, which === 'root' ? rootParent : ingressParent));

/** Requests all qdiscs of all links. */
export const dumpQdiscs = (sequence: number): Uint8Array => requestMessage(type.getQdisc, flag.dump, sequence, header(0, 0, 0));

/** Requests the filters of the packets that a link receives. */
export const dumpFilters = (sequence: number, index: number): Uint8Array => requestMessage(type.getFilter, flag.dump, sequence, header(index, 0, filterParent));

/** The index of the link that a message of the group is about; undefined for a message about something else. */
export function indexOf({ type: kind, payload }: NetlinkMessage): number | undefined {
  const known: readonly number[] = [type.newQdisc, type.deleteQdisc, type.newFilter, type.deleteFilter];
  return known.includes(kind) && payload.length >= headerBytes ? readI32(payload, 4) : undefined;
}

/** A qdisc at the root or the ingress of a link; undefined for the kernel's default, which has no handle, and for a qdisc within another one. */
export function readQdisc({ type: kind, payload }: NetlinkMessage): ({ readonly index: number; readonly at: 'root' | 'ingress' } & RootQdisc) | undefined {
  if (kind !== type.newQdisc || payload.length < headerBytes) return undefined;
  const [index, handle, parent] = [readI32(payload, 4), readU32(payload, 8), readU32(payload, 12)];
  const attributes = readAttributes(payload, headerBytes);
  const name = attributes.get(kindAttribute);
  if (!name || handle === 0 || (parent !== rootParent && parent !== ingressParent)) return undefined;
  const bucket = readString(name) === 'tbf' ? readBucket(attributes.get(optionsAttribute)) : undefined;
  return { index, at: parent === rootParent ? 'root' : 'ingress', kind: readString(name), handle, ...(bucket && { bucket }) };
}

function readBucket(options: Uint8Array | undefined): HeldBucket | undefined {
  const attributes = readAttributes(options ?? new Uint8Array());
  const parameters = attributes.get(tbf.parameters);
  if (!parameters || parameters.length < 36) return undefined;
  const rate = (at: number, wide: number): number => {
    const bytes = attributes.get(wide);
    return bytes ? Number(readU64(bytes)) : readU32(parameters, at + 8);
  };
  const peakRate = rate(12, tbf.peakRate64);
  return {
    rateBytesPerSecond: rate(0, tbf.rate64),
    burstTicks: readU32(parameters, 28),
    queueBytes: readU32(parameters, 24),
    ...(peakRate > 0 && { peak: { rateBytesPerSecond: peakRate, burstTicks: readU32(parameters, 32) } }),
  };
}

/** A filter; undefined for what is none by itself, such as the tables of a u32 classifier. */
export function readFilter({ type: kind, payload }: NetlinkMessage): IngressFilter | undefined {
  if (kind !== type.newFilter || payload.length < headerBytes) return undefined;
  const attributes = readAttributes(payload, headerBytes);
  const name = attributes.get(kindAttribute);
  const handle = readU32(payload, 8);
  if (!name || handle === 0) return undefined;
  const info = readU32(payload, 16);
  const options = readAttributes(attributes.get(optionsAttribute) ?? new Uint8Array());
  const isU32 = readString(name) === 'u32';
  if (isU32 && !options.has(u32.selector)) return undefined;
  const redirectsTo = isU32 ? redirectOf(options.get(u32.selector)!, options.get(u32.actions)) : undefined;
  return { kind: readString(name), priority: info >>> 16, protocol: swapped(info & 0xffff), handle, ...(redirectsTo !== undefined && { redirectsTo }) };
}

/** The link to which all packets are redirected; undefined when only some are, or something else happens to them. */
function redirectOf(selector: Uint8Array, actions: Uint8Array | undefined): number | undefined {
  const mask = selector.length >= 20 ? readU32(selector, 16) : 1;
  const action = readAttributes(readAttributes(actions ?? new Uint8Array()).get(1) ?? new Uint8Array());
  const kind = action.get(actionKind);
  const parameters = readAttributes(action.get(actionOptions) ?? new Uint8Array()).get(mirredParameters);
  if (mask !== 0 || !kind || readString(kind) !== 'mirred' || !parameters || parameters.length < 28) return undefined;
  return readI32(parameters, 20) === egressRedirect ? readU32(parameters, 24) : undefined;
}
