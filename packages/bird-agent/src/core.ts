// The agent without its doors to the world: follows the datastore, keeps this host's Node, and has BIRD do what follows from both.

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

/** What the agent needs of the host that it runs on. `agent.ts` has the real one. */
export type World = {
  /** @param onChange called when the host's own interfaces or addresses have changed */
  readonly openHost: (onChange: () => void) => HostView;
  /** Connects to BIRD's control socket. Rejects with BirdError. */
  readonly connectBird: () => Promise<BirdControl>;
  /** Starts BIRD. `recover`: its former routes are in the kernel, and stay until its neighbours have come back. Rejects with BirdError. */
  readonly startBird: (recover: boolean) => Promise<void>;
  /** Whether BIRD could read a file as its configuration. */
  readonly checkConfiguration: (path: string) => Promise<Configured>;
  readonly file: ConfigurationFile;
  readonly understood: UnderstoodFile;
  readonly passwords: Passwords;
  readonly clock: Clock;
};

/** The options that say what the agent is to do; the others say where things are, and are `agent.ts`'s. */
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

export type CoreOptions = {
  readonly config: CoreConfig;
  readonly etcd: Etcd;
  /** etcd's URLs: nobody may announce their addresses. */
  readonly endpoints: readonly string[];
  readonly world: World;
  readonly compileSelector: Lookups['selector'];
  readonly log: Logger;
};

export interface Core {
  readonly health: Health;
  readonly registry: Registry;
  /** Reads the passwords again, has BIRD asked again for what it refused, and looks at the Node. */
  reload(): void;
  /** Ends its work. What it has made of BIRD and datastore stays. */
  close(): Promise<void>;
}

/** Resolves once it follows the datastore. */
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
      log.warn({ socket: config.BirdSocket }, 'BIRD has gone');
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

  /** One look at everything. Gives the milliseconds until the next one, though nothing has changed. */
  async function run(): Promise<number | undefined> {
    if (!datastore.isInSync) return (await keeper.keep()) === 'away' ? birdRetryMs : undefined;
    node.look();
    // A Node that was written comes back as a change, which wakes the loop; until then what is known here is out of date.
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
      trouble.tell(reason, () => log.error({ err: error, failures, retryMs: Math.round(retryMs) }, 'cannot make BIRD follow'));
    },
    clock,
  });
  // Apart: policies and all else that lies between these kinds are neither sent nor need a right.
  const follower = etcd.follow(followedPrefixes(config.OpenstackRegion, config.Hostname), datastore.listener, { apart: true });
  loop.wake(); // BIRD may have to be started, whether etcd is there or not

  return {
    health,
    registry: metrics.registry,
    reload() {
      reconciler.retry();
      const reason = passwords.readAgain();
      if (reason !== undefined) log.warn({ reason }, 'the passwords could not be read again; those that are known hold');
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

/** With what was understood before the agent was started. */
async function openStore(ownName: string, understood: UnderstoodFile, log: Logger): Promise<ResourceStore> {
  const before = await understood.read();
  if (!before.ok)
    log.warn({ file: understood.path, reason: before.reason }, 'what was understood before the agent was started is lost, since it cannot be read');
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

/** Of these addresses those that BIRD knows to be there; undefined: it cannot be asked. */
async function reachable(bird: BirdConnection, addresses: readonly IpAddress[]): Promise<ReadonlySet<IpAddress> | undefined> {
  if (!bird.up) return undefined;
  try {
    return await reachableOf(await bird.control(), addresses);
  } catch (error) {
    if (error instanceof BirdError) return undefined;
    throw error;
  }
}
