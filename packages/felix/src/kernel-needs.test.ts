import { NetlinkError, NftablesError } from '@calico-openstack/kernel';
import { expect, test } from 'vitest';
import { needing } from './kernel-needs.ts';

const fail = (error: Error) => () => {
  throw error;
};

test.each([
  [
    'no CAP_NET_ADMIN',
    'nftables',
    new NftablesError('refused', [{ code: 'EPERM', object: 'table' }]),
    'NO_PRIVILEGE',
    /start it as root or with CAP_NET_ADMIN/,
  ],
  [
    'no netfilter in netlink',
    'nftables',
    new NetlinkError('EPROTONOSUPPORT', 'no socket'),
    'KERNEL_UNFIT',
    /does not take nftables rules: no socket; .*modprobe nf_tables/,
  ],
  ['no nf_tables', 'nftables', new NftablesError('refused', [{ code: 'EOPNOTSUPP', object: 'table' }]), 'KERNEL_UNFIT', /nf_tables/],
  [
    'no conntrack in netlink',
    'conntrack',
    new NetlinkError('EINVAL', 'no subsystem'),
    'KERNEL_UNFIT',
    /tracked connections: no subsystem; .*nf_conntrack_netlink/,
  ],
  ['no memory', 'links', new NetlinkError('ENOBUFS', 'no room'), 'KERNEL_REFUSES', /does not tell of links and routes now: no room; if that stays/],
] as const)('%s is a sentence with what to do', (_, need, error, code, sentence) => {
  expect(() => needing(need, fail(error))).toThrow(expect.objectContaining({ code, message: expect.stringMatching(sentence), cause: error }));
});

test('a fault of ours stays one', () => {
  const fault = new TypeError('a fault');
  expect(() => needing('nftables', fail(fault))).toThrow(fault);
});
