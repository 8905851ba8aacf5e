// Keeps this host's Node up to date with its interfaces and options.

import { addressOf, type IpAddress, type IpFamily } from '@calico-openstack/addresses';
import { type Clock, type Logger, systemClock } from '@calico-openstack/agent';
import { unreachable } from '@calico-openstack/agent/errors';
import { type Etcd, EtcdError } from '@calico-openstack/etcd';
import type { Config } from '../option-table.ts';
import { rivalClaimMs } from '../plan/claims.ts';
import type { Problem, Resources } from '../plan/facts.ts';
import type { Node } from '../resources/node.ts';
import type { HostView } from './host.ts';
import { createAddressKeeper } from './keeper.ts';
import { registerNode } from './register.ts';
import type { Registration } from './registration.ts';

/** After this time a failed write is retried. */
export const registerRetryMs = 5000;
/** Another writer's change of this host's Node is overwritten only after this time, so that two hosts with the same name or address do not overwrite each other endlessly. */
const rewriteMs = 60_000;
/** How often the host's address is determined again: a default route that is added later than its interface's address is not reported. */
export const lookMs = 30_000;

/** Keeps the Node. */
export interface Registrar {
  /** Whether the Node may differ from what it should be. */
  readonly inDoubt: boolean;
  readonly problem: Problem | undefined;
  /** Says that the host's interfaces or the Node may have changed. */
  doubt(): void;
  /** Checks for changes that are not reported. */
  look(): void;
  /** Registers the Node if necessary, and returns whether it was written. A Node that must not be touched, or cannot be written, does not hold up the rest. */
  register(): Promise<boolean>;
}

/** The parts that the registrar needs. */
export type RegistrarOptions = {
  readonly etcd: Etcd;
  readonly config: Pick<Config, 'Hostname' | 'IPv4Address' | 'IPv6Address' | 'AsNumber' | 'BgpHoldTimeSecs'>;
  readonly host: HostView;
  readonly nodes: Resources['nodes'];
  readonly nodeIndex: Resources['nodeIndex'];
  readonly log: Logger;
  readonly clock?: Pick<Clock, 'steadyMs' | 'nowMs'>;
};

/** The registrar of this host. */
export function nodeRegistrar({ etcd, config, host, nodes, nodeIndex, log, clock = systemClock }: RegistrarOptions): Registrar {
  const nowMs = clock.steadyMs;
  const keeper = createAddressKeeper(config.BgpHoldTimeSecs * 1000, nowMs);
  let inDoubt = true;
  let problem: Problem | undefined;
  let lastWritten: { readonly content: string; readonly atMs: number } | undefined;
  let lastLook: { readonly content: string; readonly atMs: number } | undefined;
  let lastClaimMs = Number.NEGATIVE_INFINITY;

  function own(): Node | undefined {
    const node = nodes.get(config.Hostname);
    return node?.ok ? node.value : undefined;
  }

  function address(family: IpFamily): string | undefined {
    const wish = config[`IPv${family}Address`];
    switch (wish.kind) {
      case 'given':
        return wish.address;
      case 'none':
        return undefined;
      case 'find': {
        const registered = own()?.addresses[family]?.address;
        return keeper.choose(family, host.address(family), registered && { address: registered, held: host.held(registered) });
      }
      default:
        return unreachable(wish);
    }
  }

  /** The time after which this host's Node must claim its addresses, because another Node has claimed one of them. */
  function claimAfterMs(): number | undefined {
    if (nowMs() < lastClaimMs + rewriteMs) return undefined;
    return rivalClaimMs(nodeIndex, config.Hostname, own(), new Set<IpAddress>(host.heldAddresses().map(addressOf)));
  }

  const wanted = (): Registration => ({ ipv4Address: address(4), ipv6Address: address(6), asNumber: config.AsNumber, claimAfterMs: claimAfterMs() });
  const contentOf = ({ ipv4Address, ipv6Address, asNumber }: Registration): string => JSON.stringify([ipv4Address, ipv6Address, asNumber]);
  const mayRewrite = (registration: Registration): boolean =>
    registration.claimAfterMs !== undefined || lastWritten?.content !== contentOf(registration) || nowMs() >= lastWritten.atMs + rewriteMs;
  const problemOf = (reason: string, effect: string): Problem => ({ key: `Node ${config.Hostname}`, reason, effect });

  async function register(): Promise<boolean> {
    inDoubt = false;
    let registration: Registration | undefined;
    const ask = (): Registration => {
      registration = wanted();
      return registration;
    };
    try {
      const registered = await registerNode(etcd, config.Hostname, ask, () => new Date(clock.nowMs()), mayRewrite);
      problem = undefined;
      if (registered.outcome === 'refused') problem = problemOf(registered.reason, 'it is not registered');
      if (registered.outcome === 'contested') {
        problem = problemOf(
          'another writer overwrote what this agent wrote: is there another host of this name?',
          `it is written again every ${rewriteMs / 1000} s`,
        );
        inDoubt = true;
        return false;
      }
      if (registered.outcome === 'written' && registration) {
        lastWritten = { content: contentOf(registration), atMs: nowMs() };
        if (registration.claimAfterMs !== undefined) lastClaimMs = nowMs();
        log.info({ node: config.Hostname }, 'Node registered');
      }
      // The change of the faster writer is reported by the watch. In case it is not, the Node is checked again.
      inDoubt = registered.outcome === 'written' || registered.outcome === 'overtaken';
      return inDoubt;
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      inDoubt = true;
      problem = problemOf(`cannot be registered: ${error.code}`, `it is retried every ${registerRetryMs / 1000} s`);
      return false;
    }
  }

  return {
    get inDoubt() {
      return inDoubt;
    },
    get problem() {
      return problem;
    },
    doubt() {
      inDoubt = true;
    },
    look() {
      if (claimAfterMs() !== undefined) inDoubt = true;
      if (lastLook && nowMs() < lastLook.atMs + lookMs) return;
      const content = contentOf(wanted());
      if (content !== lastLook?.content) inDoubt = true;
      lastLook = { content, atMs: nowMs() };
    },
    register,
  };
}
