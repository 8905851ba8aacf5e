// The agent without its real connections: follows the datastore, maintains this host's Node, and applies the configuration that follows from both to BIRD.

import type { IpAddress } from '@calico-openstack/addresses';
import { type Clock, createHealth, type Health, type Logger, type Registry, startLoop, startNamesakeWarnings } from '@calico-openstack/agent';
import type { Etcd } from '@calico-openstack/etcd';
import { planApplier } from './application.ts';
import { birdReconciler } from './apply.ts';
import { type BirdConnection, createBirdConnection } from './bird/connection.ts';
import { type BirdControl, BirdError } from './bird/control.ts';
import { type Configured, protocols } from './bird/daemon.ts';
import type { ConfigurationFile } from './bird/file.ts';
import { reachableOf } from './bird/reachable.ts';
import { sessionsOfPeers } from './bird/sessions.ts';
import { birdKeeper } from './bird-keeper.ts';
import { datastoreAddresses } from './datastore-addresses.ts';
import { datastoreState } from './datastore-state.ts';
import { followDepartures } from './departures.ts';
import { sessionDoubts } from './doubts.ts';
import { type Elsewhere, elsewhere } from './elsewhere.ts';
import { birdRetryMs, lookAgainMs } from './look-again.ts';
import { resourceMemory } from './memory.ts';
import { agentMetrics } from './metrics.ts';
import { hostOption, namesakesOf } from './namesakes.ts';
import type { HostView } from './node/host.ts';
import { nodeRegistrar, registerRetryMs } from './node/registrar.ts';
import { hostRemoval } from './node/removal.ts';
import type { Config } from './option-table.ts';
import type { Passwords } from './passwords.ts';
import type { Host, Lookups } from './plan/facts.ts';
import { createPlanner } from './plan/plan.ts';
import { createProblemTeller } from './problems.ts';
import { routeAudit } from './route-audit.ts';
import { createResourceStore, followedPrefixes, type ResourceStore } from './store.ts';
import { troubleTeller } from './trouble.ts';
import type { UnderstoodFile } from './understood.ts';

const dayMs = 86_400_000;

/** The parts of the host that the agent uses. `agent.ts` has the real ones. */
export type World = {
  /** Watches the host's network. @param onChange called when the host's own interfaces or addresses have changed */
  readonly openHost: (onChange: () => void) => HostView;
  /** Connects to BIRD's control socket. Rejects with BirdError. */
  readonly connectBird: () => Promise<BirdControl>;
  /** Starts BIRD. With `recover`, its former routes stay in the kernel until its neighbours have returned. Rejects with BirdError. */
  readonly startBird: (recover: boolean) => Promise<void>;
  /** Whether BIRD accepts a file as its configuration (`bird -p`). Rejects with BirdError. */
  readonly checkConfiguration: (path: string) => Promise<Configured>;
  readonly file: ConfigurationFile;
  readonly understood: UnderstoodFile;
  readonly passwords: Passwords;
  readonly clock: Clock;
};

/** The options that decide what the agent does. The others are paths and programs, which only `agent.ts` uses. */
export type CoreConfig = Pick<
  Config,
  | 'Hostname'
  | 'IPv4Address'
  | 'IPv6Address'
  | 'AsNumber'
  | 'RouterId'
  | 'InterfacePrefix'
  | 'DeviceRouteProtocol'
  | 'ExportPrefixes'
  | 'WorkloadPrefixes'
  | 'MaxRoutesPerPeer'
  | 'GracefulRestartWaitSecs'
  | 'BgpHoldTimeSecs'
  | 'RemoveHostsGoneDays'
  | 'OpenstackRegion'
  | 'StartBird'
  | 'BirdSocket'
  | 'BirdLogFile'
>;

/** The options, connections and host that the core works with. */
export type CoreOptions = {
  readonly config: CoreConfig;
  readonly etcd: Etcd;
  /** etcd's URLs. Nobody may announce their addresses. */
  readonly endpoints: readonly string[];
  readonly world: World;
  readonly compileSelector: Lookups['selector'];
  readonly log: Logger;
};

/** The running core. */
export interface Core {
  readonly health: Health;
  readonly registry: Registry;
  /** Reads the passwords again, retries a configuration that BIRD refused, and checks the Node. */
  reload(): void;
  /** Ends the core. BIRD's configuration and the datastore stay as they are. */
  close(): Promise<void>;
}

/** Starts the core. Resolves when it follows the datastore, whether etcd answers or not. */
// biome-ignore lint/complexity/noExcessiveLinesPerFunction: it makes the parts and gives each what it needs of the others; what decides is in the parts
export async function startCore({ config, etcd, endpoints, world, compileSelector, log }: CoreOptions): Promise<Core> {
  const { clock, file, passwords } = world;
  const ownName = config.Hostname;
  const health = createHealth(clock.steadyMs);
  const [datastoreHealth, birdHealth] = [health.register('datastore'), health.register('bird')];
  const store = await openStore(ownName, world.understood, log);
  const memory = resourceMemory({ etcd, store, file: world.understood, ownName });
  const outside = elsewhere(datastoreAddresses(endpoints, clock.steadyMs), followDepartures(etcd, ownName));
  const plan = createPlanner();
  const tell = createProblemTeller(log);
  const trouble = troubleTeller();

  const host = world.openHost(() => {
    node.doubt();
    loop.wake();
  });
  const node = nodeRegistrar({ etcd, config, host, nodes: store.resources.nodes, nodeIndex: store.resources.nodeIndex, log, clock });
  const bird = createBirdConnection({
    connect: world.connectBird,
    start: config.StartBird ? () => world.startBird(host.hasBirdRoutes()) : undefined,
    onGone: () => {
      log.warn({ socket: config.BirdSocket }, 'BIRD has ended or closed its control socket; connecting again; if that repeats, see BIRD’s log');
      loop.wake();
    },
  });
  const control = (): Promise<BirdControl> => bird.control();
  const metrics = agentMetrics(
    async () => (bird.up ? protocols(await control()) : undefined),
    async () => (bird.up ? await sessionsOfPeers(await control()) : []),
  );
  const removal = hostRemoval({
    etcd,
    region: config.OpenstackRegion,
    ownName,
    nodes: store.resources.nodes,
    goneMs: config.RemoveHostsGoneDays * dayMs,
    waitMs: config.RemoveHostsGoneDays === 0 ? Number.POSITIVE_INFINITY : config.BgpHoldTimeSecs * 1000,
    reachable: (addresses) => reachable(bird, addresses),
    log,
    clock,
  });
  const reconciler = birdReconciler({ ...file, check: world.checkConfiguration, control, pause: (ms) => clock.pause(ms) }, clock.steadyMs);
  const keeper = birdKeeper({ isStarter: config.StartBird, file, control, health: birdHealth, trouble, log });
  const audit = routeAudit({ control, mostRoutes: config.MaxRoutesPerPeer, onRefusals: metrics.refusals, log, clock });
  const doubts = sessionDoubts({ file, ownName, resources: store.resources, clock });
  const apply = planApplier({ ownName, path: file.path, reconciler, keeper, audit, doubts, health: birdHealth, metrics, trouble, log, clock });
  const datastore = datastoreState({
    ownName,
    store,
    onOwnNode: () => node.doubt(),
    wake: () => loop.wake(),
    onInSync: () => {
      namesakes ??= startNamesakeWarnings({ host: ownName, option: hostOption, look: () => namesakesOf(etcd, config), log });
    },
    health: datastoreHealth,
    metrics,
    log,
  });

  let namesakes: { close(): void } | undefined;

  /** Computes and applies everything once. Returns after how many milliseconds to do so again even if nothing changes; undefined when only a change makes that necessary. */
  async function run(): Promise<number | undefined> {
    if (!datastore.isInSync) return (await keeper.keep()) === 'away' ? birdRetryMs : undefined;
    node.look();
    // The written Node comes back as a change from etcd, which wakes the loop. Until then the known resources are stale.
    if (node.inDoubt && datastore.isFollowing && (await node.register())) return registerRetryMs;
    const ofElsewhere = await outside.look(store.resources.departures);
    if (datastore.isFollowing) {
      await memory.recall();
      await removal.look();
    }
    const planned = plan(store.resources, hostFacts(config, host, outside), { selector: compileSelector, password: passwords.password });
    const before = [...(node.problem ? [node.problem] : []), ...ofElsewhere, ...removal.problems, ...(await memory.remember()), ...planned.problems];
    const applied = planned.ok ? await apply(planned) : { bird: await keeper.keep(), problems: [] };
    const isAll = planned.ok && applied.bird !== 'away' && applied.bird !== 'doubted';
    metrics.refused(!planned.ok || applied.bird === 'refused');
    metrics.problems(tell([...before, ...applied.problems], isAll));
    metrics.birdUp(bird.up);
    return lookAgainMs({ bird: applied.bird, isNodeInDoubt: node.inDoubt, isFollowing: datastore.isFollowing });
  }

  const loop = startLoop({
    run,
    onFailure: (error, failures, retryMs) => {
      const reason = error instanceof Error ? error.message : String(error);
      birdHealth.report({ live: true, ready: false, detail: reason });
      trouble.tell(reason, () =>
        log.error(
          { err: error, failures, retryMs: Math.round(retryMs) },
          'a fault of the BIRD agent or its host: the configuration could not be applied to BIRD, which keeps the former one; retrying; see the error',
        ),
      );
    },
    clock,
  });
  // Each prefix has a watch of its own, so that etcd neither sends policies and other keys between them nor requires rights for those.
  const follower = etcd.follow(followedPrefixes(config.OpenstackRegion, config.Hostname), datastore.listener, { apart: true });
  loop.wake(); // BIRD may have to be started, even if etcd does not answer

  return {
    health,
    registry: metrics.registry,
    reload() {
      reconciler.retry();
      const reason = passwords.readAgain();
      if (reason !== undefined)
        log.warn({ reason }, 'the file of BGP passwords could not be read again, so sessions keep the known passwords; correct the file and reload the agent');
      node.doubt();
      loop.wake();
    },
    async close() {
      follower.close();
      namesakes?.close();
      await loop.close();
      bird.close();
      host.close();
    },
  };
}

/** Creates the store with the valid values from before the agent was started. */
async function openStore(ownName: string, understood: UnderstoodFile, log: Logger): Promise<ResourceStore> {
  const before = await understood.read();
  if (!before.ok)
    log.warn(
      { file: understood.path, reason: before.reason },
      'the file of last valid values cannot be read, so an invalid value in etcd may end sessions now; the file is written again',
    );
  return createResourceStore({
    ownName,
    before: before.ok ? before.value : new Map(),
    onFault: (error, key) =>
      log.error({ err: error, key }, 'a fault of the BIRD agent: it failed to process this value and treats it as absent; please report it with the value'),
  });
}

const hostFacts = (config: CoreConfig, host: HostView, outside: Elsewhere): Host => ({
  name: config.Hostname,
  routerId: config.RouterId,
  networks: host.networks(),
  addresses: host.heldAddresses(),
  interfaceNetworks: host.heldNetworks(),
  datastoreAddresses: outside.addresses,
  moving: outside.moving,
  workloadPrefixes: config.WorkloadPrefixes,
  workloadInterfacePrefixes: config.InterfacePrefix,
  deviceRouteProtocol: config.DeviceRouteProtocol,
  exportPrefixes: config.ExportPrefixes,
  holdSeconds: config.BgpHoldTimeSecs,
  restartWaitSeconds: config.GracefulRestartWaitSecs,
  mostRoutes: config.MaxRoutesPerPeer || undefined,
  logFile: config.BirdLogFile,
});

/** Those of the addresses that BIRD can reach; undefined when BIRD does not answer. */
async function reachable(bird: BirdConnection, addresses: readonly IpAddress[]): Promise<ReadonlySet<IpAddress> | undefined> {
  if (!bird.up) return undefined;
  try {
    return await reachableOf(await bird.control(), addresses);
  } catch (error) {
    if (error instanceof BirdError) return undefined;
    throw error;
  }
}
