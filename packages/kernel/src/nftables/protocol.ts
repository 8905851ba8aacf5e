// The numbers of nfnetlink and nf_tables that encoding and decoding share (linux/netfilter/nfnetlink.h, nf_tables.h). Names follow the headers.
import type { Hook, TableFamily } from './objects.ts';

const subsystem = 10;
/** The netlink message type of an nf_tables message. */
export const messageType = (message: number): number => (subsystem << 8) | message;
/** NFNL_MSG_BATCH_BEGIN. */
export const batchBegin = 16;
/** NFNL_MSG_BATCH_END. */
export const batchEnd = 17;
/** NFNL_BATCH_GENID. */
export const batchGeneration = 1;
/** NFNL_SUBSYS_NFTABLES. */
export const subsystemNumber = subsystem;

/** NFT_MSG_*. */
export const message = {
  newTable: 0,
  getTable: 1,
  deleteTable: 2,
  newChain: 3,
  getChain: 4,
  deleteChain: 5,
  newRule: 6,
  getRule: 7,
  deleteRule: 8,
  newSet: 9,
  getSet: 10,
  deleteSet: 11,
  newElements: 12,
  getElements: 13,
  deleteElements: 14,
  newGeneration: 15,
  getGeneration: 16,
  getObject: 19,
  deleteObject: 20,
} as const;

/** NFPROTO_*. */
export const familyNumber: { readonly [Family in TableFamily]: number } = { inet: 1, ip: 2, arp: 3, netdev: 5, ip6: 10 };

/** The four bytes with which the payload of every message starts (struct nfgenmsg). `resource` is set only in a batch's first and last message. */
export const header = (family: number, resource = 0): Uint8Array => new Uint8Array([family, 0, resource >> 8, resource & 0xff]);
/** The length of these bytes. */
export const headerLength = 4;

/** NFTA_TABLE_*. */
export const table = { name: 1, flags: 2 } as const;
/** NFT_TABLE_F_*. */
export const tableFlag = { dormant: 1, owner: 2, persist: 4 } as const;
/** NFTA_CHAIN_*. */
export const chain = { table: 1, handle: 2, name: 3, hook: 4, policy: 5, type: 7, flags: 10 } as const;
/** NFTA_HOOK_*. */
export const chainHook = { number: 1, priority: 2, device: 3, devices: 4 } as const;
/** NFT_CHAIN_*. */
export const chainFlag = { binding: 4 } as const;
/** NFTA_RULE_*. */
export const rule = { table: 1, chain: 2, handle: 3, expressions: 4, userData: 7 } as const;
/** NFTA_SET_*. */
export const set = {
  table: 1,
  name: 2,
  flags: 3,
  keyType: 4,
  keyLength: 5,
  dataType: 6,
  dataLength: 7,
  policy: 8,
  description: 9,
  id: 10,
  timeout: 11,
  userData: 13,
  objectType: 15,
  handle: 16,
  expression: 17,
  expressions: 18,
} as const;
/** NFT_SET_*. */
export const setFlag = { anonymous: 1, constant: 2, interval: 4, map: 8, concatenation: 0x80 } as const;
/** The type of the key's byte order in a set's user data (libnftnl, udata.h). */
export const setKeyByteOrder = 0;
/** The type of the data's byte order in a set's user data. */
export const setDataByteOrder = 1;
/** The type of the comment in a set's user data. */
export const setComment = 7;
/** NFTA_SET_DESC_SIZE. */
export const descriptionSize = 1;
/** NFTA_SET_DESC_CONCAT. */
export const descriptionConcatenation = 2;
/** NFT_DATA_VERDICT. */
export const dataTypeVerdict = 0xffffff00;
/** NFTA_SET_ELEM_LIST_*. */
export const elements = { table: 1, set: 2, list: 3 } as const;
/** NFTA_SET_ELEM_*. */
export const element = { key: 1, data: 2, flags: 3, userData: 6, expression: 7, keyEnd: 10 } as const;
/** NFT_SET_ELEM_INTERVAL_END. */
export const elementIntervalEnd = 1;
/** NFTA_LIST_ELEM. */
export const listElement = 1;
/** NFTA_OBJ_*. */
export const object = { table: 1, name: 2, type: 3 } as const;
/** NFTA_GEN_*. */
export const generation = { id: 1, processId: 2, processName: 3 } as const;
/** The multicast group to which the kernel reports every change of the ruleset (NFNLGRP_NFTABLES). */
export const rulesetGroup = 7;

/** The numbers of the policies (NF_DROP, NF_ACCEPT). */
export const policyNumber = { drop: 0, accept: 1 } as const;

const inetHooks: { readonly [Name in Hook['hook']]?: number } = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4, ingress: 5 };
const hooks: { readonly [Family in TableFamily]: { readonly [Name in Hook['hook']]?: number } } = {
  inet: inetHooks,
  ip: inetHooks,
  ip6: inetHooks,
  arp: { input: 0, output: 1, forward: 2 },
  netdev: { ingress: 0 },
};

/** The number of a hook; undefined when the family does not have it. */
export const hookNumber = (family: TableFamily, hook: Hook['hook']): number | undefined => hooks[family][hook];
/** The name of a hook; undefined when it is not known here. */
export const hookName = (family: TableFamily, number: number): Hook['hook'] | undefined =>
  (Object.entries(hooks[family]) as [Hook['hook'], number][]).find(([, other]) => other === number)?.[0];
