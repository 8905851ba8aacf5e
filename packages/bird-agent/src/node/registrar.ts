// Keeps this host's Node: what the host is, as its interfaces and options say, written when it differs.

import { addressOf, type IpAddress, type IpFamily } from '@calico-openstack/addresses';
import { type Clock, type Logger, systemClock } from '@calico-openstack/agent';
import { type Etcd, EtcdError } from '@calico-openstack/etcd';
import type { Config } from '../option-table.ts';
import { rivalClaimMs } from '../plan/claims.ts';
import type { Problem, Resources } from '../plan/facts.ts';
import type { Node } from '../resources/node.ts';
import type { HostView } from './host.ts';
import { createAddressKeeper } from './keeper.ts';
import { registerNode } from './register.ts';
import type { Registration } from './registration.ts';

/** After this long what could not be written is tried again. */
export const registerRetryMs = 5000;
/** What somebody else has made of this host's Node stands this long before it is written over: two hosts of one name, or with one address, must not take it from each other without end. */
const rewriteMs = 60_000;
/** A default route that comes after its interface's address is not told of; the host's address is looked up anew this often. */
export const lookMs = 30_000;

export interface Registrar {
  /** Whether the Node may not be what it should. */
  readonly inDoubt: boolean;
  readonly problem: Problem | undefined;
  /** Something may have changed: the host's interfaces, or the Node. */
  doubt(): void;
  /** Looks for what nobody tells of. */
  look(): void;
  /** Makes sure of the Node; whether it was written. A Node that is not ours to touch, or cannot be written, does not hold the rest up. */
  register(): Promise<boolean>;
}

export type RegistrarOptions = {
  readonly etcd: Etcd;
  readonly config: Pick<Config, 'Hostname' | 'IPv4Address' | 'IPv6Address' | 'AsNumber' | 'BgpHoldTimeSecs'>;
  readonly host: HostView;
  readonly nodes: Resources['nodes'];
  readonly log: Logger;
  readonly clock?: Pick<Clock, 'steadyMs' | 'nowMs'>;
};

export function nodeRegistrar({ etcd, config, host, nodes, log, clock = systemClock }: RegistrarOptions): Registrar {
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
    if (wish.kind === 'given') return wish.address;
    if (wish.kind === 'none') return undefined;
    const registered = own()?.addresses[family]?.address;
    return keeper.choose(family, host.address(family), registered && { address: registered, held: host.held(registered) });
  }

  /** When another Node has claimed an address of this host's, and this host's Node has to claim it again. */
  function claimAfterMs(): number | undefined {
    if (nowMs() < lastClaimMs + rewriteMs) return undefined;
    const understood = [...nodes.values()].flatMap((node) => (node.ok ? [node.value] : []));
    return rivalClaimMs(understood, config.Hostname, own(), new Set<IpAddress>(host.heldAddresses().map(addressOf)));
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
        problem = problemOf('what this agent wrote was written over: is there another host of this name?', `written anew every ${rewriteMs / 1000} s`);
        inDoubt = true;
        return false;
      }
      if (registered.outcome === 'written' && registration) {
        lastWritten = { content: contentOf(registration), atMs: nowMs() };
        if (registration.claimAfterMs !== undefined) lastClaimMs = nowMs();
        log.info({ node: config.Hostname }, 'Node registered');
      }
      // Whoever was first is heard of as a change; should that not come, there is another look.
      inDoubt = registered.outcome === 'written' || registered.outcome === 'overtaken';
      return inDoubt;
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      inDoubt = true;
      problem = problemOf(`cannot be registered: ${error.code}`, `tried again every ${registerRetryMs / 1000} s`);
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
