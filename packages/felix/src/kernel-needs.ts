// Turns a kernel's refusal at the start into a sentence that says what the agent needs and what to do.
import { type CodedError, StartError } from '@calico-openstack/agent';
import { NetlinkError, NftablesError } from '@calico-openstack/kernel';

const needs = {
  links: { what: 'tell of links and routes', remedy: 'use a kernel with rtnetlink (CONFIG_NET)' },
  nftables: {
    what: 'take nftables rules',
    remedy: 'use Linux 5.10 or later with nf_tables ("modprobe nf_tables" and "nft list tables" show whether it is there)',
  },
  conntrack: {
    what: 'tell of tracked connections',
    remedy: 'use a kernel with nf_conntrack and nf_conntrack_netlink ("modprobe nf_conntrack_netlink" shows whether they are there)',
  },
} as const;

/** A part of the kernel that the agent cannot start without. */
export type KernelNeed = keyof typeof needs;

/** Calls `use`, which needs this part of the kernel. @throws StartError with the remedy when the kernel refuses, or what else `use` throws */
export function needing<T>(need: KernelNeed, use: () => T): T {
  try {
    return use();
  } catch (error) {
    throw explained(need, error);
  }
}

/** The same for a `use` that returns a promise. */
export const needingLater = <T>(need: KernelNeed, done: Promise<T>): Promise<T> =>
  done.catch((error: unknown) => {
    throw explained(need, error);
  });

const explained = (need: KernelNeed, error: unknown): unknown =>
  error instanceof NetlinkError || error instanceof NftablesError ? kernelProblem(need, error) : error;

function kernelProblem(need: KernelNeed, error: CodedError): StartError {
  const { what, remedy } = needs[need];
  switch (error.code) {
    case 'EPERM':
    case 'EACCES':
      return new StartError(
        'NO_PRIVILEGE',
        `the kernel does not ${what} for this process: ${error.message}; start it as root or with CAP_NET_ADMIN, and end whatever else owns tables of its name (a second calico-felix)`,
        { cause: error },
      );
    // The kernel does not have the protocol, subsystem, family or expression.
    case 'EPROTONOSUPPORT':
    case 'EAFNOSUPPORT':
    case 'EOPNOTSUPP':
    case 'EINVAL':
    case 'ENOENT':
      return new StartError('KERNEL_UNFIT', `this kernel does not ${what}: ${error.message}; ${remedy}`, { cause: error });
    default:
      return new StartError('KERNEL_REFUSES', `the kernel does not ${what} now: ${error.message}; if that stays, ${remedy}`, { cause: error });
  }
}
