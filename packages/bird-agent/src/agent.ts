// The agent: follows the datastore, keeps this host's Node, and has BIRD do what follows from both.

import type { IpAddress } from '@calico-openstack/addresses';
import {
  createHealth,
  etcdOfCfg,
  healthPages,
  type Logger,
  metricsPages,
  outputsOf,
  type Running,
  startLoop,
  startPages,
  tellUnreadable,
  warnOfNamesakes,
} from '@calico-openstack/agent';
import { findNamesakes, resourceKey } from '@calico-openstack/datamodel';
import { connectEtcd, EtcdError, type FollowListener, type FollowState } from '@calico-openstack/etcd';
import { type BirdHost, birdReconciler, type Outcome, refusedRetryMs } from './apply.ts';
import { judgeAgain, limitProblems, type Refusal, refusalProblem, refusals } from './audit.ts';
import { birdConnection } from './bird/connection.ts';
import { BirdError } from './bird/control.ts';
import { protocols } from './bird/daemon.ts';
import { confirmWritten, draft, readText, writtenMs } from './bird/file.ts';
import { type PrintedConfiguration, printConfiguration, revisionSymbol } from './bird/print.ts';
import { checkConfiguration, startBird } from './bird/process.ts';
import { reachableOf } from './bird/reachable.ts';
import { sessionStatuses } from './bird/sessions.ts';
import { datastoreAddresses } from './datastore-addresses.ts';
import { followDepartures } from './departures.ts';
import { groupId } from './groups.ts';
import { resourceMemory } from './memory.ts';
import { agentMetrics } from './metrics.ts';
import { type HostView, openHost } from './node/host.ts';
import { lookMs, nodeRegistrar, registerRetryMs } from './node/registrar.ts';
import { hostRemoval } from './node/removal.ts';
import type { Config } from './option-table.ts';
import { openPasswords } from './passwords.ts';
import { isOlder, returnMs, sessionsInDoubt } from './plan/doubt.ts';
import type { Host, Lookups, Problem } from './plan/facts.ts';
import { type Plan, plan } from './plan/plan.ts';
import { problemTeller } from './problems.ts';
import { followedPrefixes, resourceStore } from './store.ts';
import { understoodFile } from './understood.ts';

const controlTimeoutMs = 20_000;
const birdRetryMs = 1000;
/** Nobody tells of routes that BIRD refuses; it is asked this often. */
const auditMs = 10_000;
const dayMs = 86_400_000;

export type AgentOptions = { readonly config: Config; readonly log: Logger; readonly compileSelector: Lookups['selector'] };

/**
 * Starts the agent; resolves once it follows. What it has made of BIRD and datastore stays when it ends.
 * @throws EtcdError when etcd's options cannot lead to a connection
 */
export async function startBirdAgent({ config, log, compileSelector }: AgentOptions): Promise<Running> {
  const etcd = connectEtcd(etcdOfCfg(config));
  const understood = understoodFile(`${config.BirdConfigFile}.understood`);
  const before = await understood.read();
  if (!before.ok)
    log.warn({ file: understood.path, reason: before.reason }, 'what was understood before the agent was started is lost, since it cannot be read');
  const store = resourceStore({
    ownName: config.Hostname,
    before: before.ok ? before.value : new Map(),
    onFault: (error, key) =>
      log.error({ err: error, key }, 'a fault of the BIRD agent: this value could not be taken in and counts as absent; please report it with the value'),
  });
  const memory = resourceMemory({ etcd, store, file: understood, ownName: config.Hostname });
  const departures = followDepartures(etcd, config.Hostname);
  const datastore = datastoreAddresses(etcdOfCfg(config).endpoints);
  const tell = problemTeller(log);
  const host = openHost(config.InterfacePrefix, () => {
    node.doubt();
    loop.wake();
  });
  const node = nodeRegistrar({ etcd, config, host, nodes: store.resources.nodes, log });
  const bird = birdConnection({
    socketPath: config.BirdSocket,
    timeoutMs: controlTimeoutMs,
    start: config.StartBird ? () => launch(config, host, log) : undefined,
    onGone: () => {
      log.warn({ socket: config.BirdSocket }, 'BIRD has gone');
      loop.wake();
    },
  });
  const metrics = agentMetrics(
    async () => (bird.up ? protocols(await bird.control()) : undefined),
    async () => (bird.up ? await sessionStatuses(await bird.control(), 'peer*') : []),
  );
  const removal = hostRemoval({
    etcd,
    region: config.OpenstackRegion,
    ownName: config.Hostname,
    nodes: store.resources.nodes,
    goneMs: config.RemoveHostsGoneDays * dayMs,
    waitMs: config.RemoveHostsGoneDays === 0 ? Number.POSITIVE_INFINITY : config.BgpHoldTimeSecs * 1000,
    reachable,
    log,
  });
  const passwords = openPasswords(config.BgpPasswordFile);
  const health = createHealth();
  const healthOf = { datastore: health.register('datastore'), bird: health.register('bird') };
  const reconciler = birdReconciler(birdHost(config, () => bird.control()));

  let inSync = false;
  let following = false;
  let lastAudit: { readonly guards: string; readonly atMs: number; readonly refusals: readonly Refusal[]; readonly limits: readonly Problem[] } = {
    guards: '',
    atMs: 0,
    refusals: [],
    limits: [],
  };
  let elsewhere: readonly Problem[] = [];
  let lastTrouble: string | undefined;
  let namesakes: { close(): void } | undefined;

  const loop = startLoop({
    run,
    onFailure: (error, failures, retryMs) => {
      healthOf.bird.report({ live: true, ready: false, detail: messageOf(error) });
      say(messageOf(error), () => log.error({ err: error, failures, retryMs: Math.round(retryMs) }, 'cannot make BIRD follow'));
    },
  });

  /** Trouble is told when it starts or changes. */
  function say(trouble: string | undefined, tellIt: () => void): void {
    if (trouble !== lastTrouble && trouble !== undefined) tellIt();
    lastTrouble = trouble;
  }

  /** One look at everything. Says when to look again though nothing has changed. */
  async function run(): Promise<number | undefined> {
    if (!inSync) return (await keepBird()) === 'away' ? birdRetryMs : undefined;
    node.look();
    if (node.inDoubt && following) {
      const written = await node.register();
      // It comes back as a change, which wakes the loop; until then what is known here is out of date.
      if (written) return registerRetryMs;
    }
    await lookElsewhere();
    if (following) {
      await memory.recall();
      await removal.look();
    }
    const planned = makePlan();
    const problems = [...(node.problem ? [node.problem] : []), ...elsewhere, ...removal.problems, ...(await memory.remember()), ...planned.problems];
    const outcome = planned.ok ? await applyPlan(planned, problems) : { kind: await keepBird() };
    metrics.refused(!planned.ok || outcome.kind === 'refused');
    metrics.problems(tell(problems, planned.ok && outcome.kind !== 'away' && outcome.kind !== 'doubted'));
    metrics.birdUp(bird.up);
    if (outcome.kind === 'away') return birdRetryMs;
    if (outcome.kind === 'doubted' || (node.inDoubt && following)) return registerRetryMs;
    return outcome.kind === 'refused' ? Math.min(refusedRetryMs, lookMs) : auditMs;
  }

  /** What is neither on this host nor in what is followed. What cannot be asked for is as it was. */
  async function lookElsewhere(): Promise<void> {
    await datastore.refresh();
    elsewhere = [];
    try {
      await departures.refresh(store.resources.departures);
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      elsewhere = [
        {
          key: 'LiveMigration',
          reason: `the endpoint of a workload that is moving away cannot be read: ${error.code}`,
          effect: 'its route here stands against that to its new host until it can',
        },
      ];
    }
  }

  async function reachable(addresses: readonly IpAddress[]): Promise<ReadonlySet<IpAddress> | undefined> {
    if (!bird.up) return undefined;
    try {
      return await reachableOf(await bird.control(), addresses);
    } catch (error) {
      if (error instanceof BirdError) return undefined;
      throw error;
    }
  }

  function makePlan(): Plan {
    const facts: Host = {
      name: config.Hostname,
      routerId: config.RouterId,
      networks: host.networks(),
      addresses: host.heldAddresses(),
      interfaceNetworks: host.heldNetworks(),
      datastoreAddresses: datastore.addresses,
      moving: departures.addresses,
      workloadPrefixes: config.WorkloadPrefixes,
      workloadInterfacePrefixes: config.InterfacePrefix,
      deviceRouteProtocol: config.DeviceRouteProtocol,
      exportPrefixes: config.ExportPrefixes,
      holdSeconds: config.BgpHoldTimeSecs,
      restartWaitSeconds: config.GracefulRestartWaitSecs,
      mostRoutes: config.MaxRoutesPerPeer || undefined,
      logFile: config.BirdLogFile,
    };
    return plan(store.resources, facts, { selector: compileSelector, password: passwords.password });
  }

  /** Where it is the agent's to start BIRD, and nothing new can be said to it: has it running with the configuration that it had, if that is the agent's. */
  async function keepBird(): Promise<'kept' | 'away'> {
    if (!config.StartBird || !(await readText(config.BirdConfigFile))?.includes(`define ${revisionSymbol} `)) return 'kept';
    try {
      await bird.control();
      return 'kept';
    } catch (error) {
      return away(error);
    }
  }

  /** @throws what is not BIRD being away */
  function away(error: unknown): 'away' {
    if (!(error instanceof BirdError) || (error.code !== 'BIRD_AWAY' && error.code !== 'BIRD_START_FAILED')) throw error;
    healthOf.bird.report({ live: true, ready: false, detail: error.message });
    say(error.message, () => log.warn({ err: error, retryMs: birdRetryMs }, 'BIRD is away; its routes stay, and its configuration waits for it'));
    return 'away';
  }

  /** Sessions that stay since the datastore has lost what asked for them (plan/doubt.ts). */
  async function doubts(wanted: PrintedConfiguration): Promise<readonly string[]> {
    const file = config.BirdConfigFile;
    const [current, fileMs, own] = [await readText(file), await writtenMs(file), store.resources.nodes.get(config.Hostname)];
    if (current === undefined || fileMs === undefined || !own?.ok) return [];
    const { configurations, peers, filters } = store.resources;
    const hasOperatorsWord = configurations.size + peers.size + filters.size > 0;
    const [nodeMadeMs, nowMs] = [own.value.madeMs, Date.now()];
    const doubted = sessionsInDoubt({ current, writtenMs: fileMs, wanted: wanted.text, nodeMadeMs, hasOperatorsWord, nowMs });
    const isOver = nodeMadeMs !== undefined && isOlder(fileMs, nodeMadeMs) && nowMs >= nodeMadeMs + returnMs;
    if (isOver && doubted.length === 0) await confirmWritten(file);
    return doubted;
  }

  /** Whose routes are refused; and once after the guards have changed, whether those that came before are still right. */
  async function lookAtRoutes(guards: string): Promise<void> {
    const nowMs = performance.now();
    const changed = guards !== lastAudit.guards;
    if (!changed && nowMs < lastAudit.atMs + auditMs) return;
    const control = await bird.control();
    if (changed) {
      const sessions = await judgeAgain(control);
      if (sessions.length > 0) log.info({ sessions }, 'routes are asked for again, since what may be announced has changed');
    }
    const limits = config.MaxRoutesPerPeer > 0 ? await limitProblems(control, config.MaxRoutesPerPeer) : [];
    lastAudit = { guards, atMs: nowMs, refusals: await refusals(control), limits };
    metrics.refusals(lastAudit.refusals);
  }

  async function applyPlan(
    planned: Extract<Plan, { ok: true }>,
    problems: Problem[],
  ): Promise<Outcome | { readonly kind: 'away' } | { readonly kind: 'doubted' }> {
    const startedMs = performance.now();
    try {
      const wanted = printConfiguration(planned.configuration);
      const doubted = await doubts(wanted);
      if (doubted.length > 0) {
        if ((await keepBird()) === 'away') return { kind: 'away' };
        healthOf.bird.report({ live: true, ready: true });
        problems.push({
          key: `Node ${config.Hostname}`,
          reason: `is newer than BIRD's configuration, which has sessions that nobody asks for any more (${doubted.slice(0, 3).join(', ')}${doubted.length > 3 ? ', …' : ''}): was the datastore emptied?`,
          effect: `BIRD's configuration stays as it is: ${returnMs / 1000} s for hosts that have to register again, and for peers and passwords until there is any BGPConfiguration, BGPPeer or BGPFilter`,
        });
        return { kind: 'doubted' };
      }
      const outcome = await reconciler.reconcile(wanted);
      if (outcome.kind !== 'refused') await lookAtRoutes(wanted.guards);
      problems.push(...lastAudit.refusals.map(refusalProblem), ...lastAudit.limits);
      say(undefined, () => undefined);
      if (outcome.kind === 'configured') {
        metrics.reconfigured('configured');
        log.info({ sessions: planned.configuration.sessions.length, tookMs: Math.round(performance.now() - startedMs) }, 'BIRD reconfigured');
      } else if (outcome.kind === 'refused') {
        metrics.reconfigured('refused');
        problems.push({ key: config.BirdConfigFile, reason: `BIRD refuses it: ${outcome.reason}`, effect: 'the last good configuration stays' });
      }
      healthOf.bird.report({ live: true, ready: outcome.kind !== 'refused' });
      return outcome;
    } catch (error) {
      return { kind: away(error) };
    }
  }

  const ownKey = resourceKey({ plural: 'nodes', name: config.Hostname });
  const listener: FollowListener = {
    onChanges(changes) {
      if (changes.some(({ key }) => key === ownKey)) node.doubt();
      if (store.apply(changes)) loop.wake();
    },
    onUnreadable: tellUnreadable(log),
    onInSync(revision) {
      inSync = true;
      metrics.inSync(true);
      healthOf.datastore.report({ live: true, ready: true });
      log.info({ revision }, 'the datastore is read');
      const keysWith = async (prefix: string) => (await etcd.range(prefix, { keysOnly: true })).found.map(({ key }) => key);
      const look = () => findNamesakes(config.OpenstackRegion, config.Hostname, keysWith);
      namesakes = warnOfNamesakes({ host: config.Hostname, option: 'Hostname in bird-agent.cfg', look, log });
      loop.wake();
    },
    onState(state: FollowState, reason) {
      following = state === 'following';
      healthOf.datastore.report({ live: true, ready: inSync && following, ...(reason !== undefined && { detail: reason }) });
      if (state === 'lost') log.warn({ reason }, 'etcd is away; BIRD goes on with what is known');
      if (following) {
        log.info('following the datastore');
        loop.wake(); // the Node could not be written meanwhile
      }
    },
  };
  // Apart: policies and all else that lies between these kinds are neither sent nor need a right.
  const follower = etcd.follow(followedPrefixes, listener, { apart: true });

  loop.wake(); // BIRD may have to be started, whether etcd is there or not

  const pages = [startPages('health', healthPages(health), log), startPages('metrics', metricsPages(metrics.registry), log)] as const;
  const outputs = outputsOf(config);
  pages[0].serve(outputs.health);
  pages[1].serve(outputs.metrics);
  return {
    log,
    reload() {
      reconciler.retry();
      const trouble = passwords.readAgain();
      if (trouble !== undefined) log.warn({ reason: trouble }, 'the passwords could not be read again; those that are known hold');
      node.doubt();
      loop.wake();
    },
    async close() {
      follower.close();
      namesakes?.close();
      for (const page of pages) await page.close();
      await loop.close();
      bird.close();
      host.close();
      etcd.close();
    },
  };
}

function birdHost(config: Config, control: BirdHost['control']): BirdHost {
  const file = config.BirdConfigFile;
  return {
    readText: () => readText(file),
    draft: (text) => draft(file, text, config.BirdGroup === undefined ? undefined : groupId(config.BirdGroup)),
    check: (path) => checkConfiguration(config.BirdExecutable, path),
    control,
    pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  };
}

async function launch(config: Config, host: HostView, log: Logger): Promise<void> {
  const recover = host.hasBirdRoutes();
  await startBird({
    executable: config.BirdExecutable,
    configFile: config.BirdConfigFile,
    controlSocket: config.BirdSocket,
    pidFile: config.BirdPidFile,
    user: config.BirdUser,
    group: config.BirdUser && config.BirdGroup,
    recover,
  });
  log.info({ recover }, 'BIRD started');
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
