// The agent: follows the datastore, keeps this host's Node, and has BIRD do what follows from both.
import { createHealth, healthPages, type Logger, metricsPages, type Running, StartError, servePages, startLoop } from '@calico-openstack/agent';
import { resourceKey } from '@calico-openstack/datamodel';
import { connectEtcd, type Etcd, EtcdError, type FollowState } from '@calico-openstack/etcd';
import { type BirdHost, birdReconciler, type Outcome } from './apply.ts';
import { birdConnection } from './bird/connection.ts';
import { BirdError } from './bird/control.ts';
import { protocols } from './bird/daemon.ts';
import { draft, readText } from './bird/file.ts';
import { printConfiguration } from './bird/print.ts';
import { checkConfiguration, startBird } from './bird/process.ts';
import type { Config } from './config.ts';
import { groupId } from './groups.ts';
import { agentMetrics } from './metrics.ts';
import { type HostView, openHost } from './node/host.ts';
import { registerNode } from './node/register.ts';
import type { Registration } from './node/registration.ts';
import { openPasswords } from './passwords.ts';
import type { Host, Lookups, Problem } from './plan/facts.ts';
import { type Plan, plan } from './plan/plan.ts';
import { problemTeller } from './problems.ts';
import { followedPrefixes, resourceStore } from './store.ts';

const controlTimeoutMs = 20_000;
const birdRetryMs = 1000;
const registerRetryMs = 5000;

export type AgentOptions = { readonly config: Config; readonly log: Logger; readonly compileSelector: Lookups['selector'] };

/**
 * Starts the agent; resolves once it follows. What it has made of BIRD and datastore stays when it ends.
 * @throws StartError when etcd's options cannot lead to a connection
 */
export async function startBirdAgent({ config, log, compileSelector }: AgentOptions): Promise<Running> {
  const etcd = connect(config);
  const store = resourceStore();
  const tell = problemTeller(log);
  const host = openHost(config.InterfacePrefix, () => {
    nodeInDoubt = true;
    loop.wake();
  });
  const bird = birdConnection({
    socketPath: config.BirdSocket,
    timeoutMs: controlTimeoutMs,
    start: config.StartBird ? () => launch(config, host, log) : undefined,
    onGone: () => {
      log.warn({ socket: config.BirdSocket }, 'BIRD has gone');
      loop.wake();
    },
  });
  const metrics = agentMetrics(async () => (bird.up ? protocols(await bird.control()) : undefined));
  const health = createHealth();
  const healthOf = { datastore: health.register('datastore'), bird: health.register('bird') };
  const reconciler = birdReconciler(birdHost(config, () => bird.control()));

  let inSync = false;
  let following = false;
  let nodeInDoubt = true;
  let registrationProblem: Problem | undefined;
  let lastTrouble: string | undefined;

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
    if (!inSync) return undefined;
    if (nodeInDoubt && following) {
      const written = await register();
      // It comes back as a change, which wakes the loop; until then what is known here is out of date.
      if (written) return registerRetryMs;
    }
    const planned = makePlan();
    const problems = [...(registrationProblem ? [registrationProblem] : []), ...planned.problems];
    const outcome = planned.ok ? await applyPlan(planned, problems) : undefined;
    metrics.refused(!planned.ok || outcome?.kind === 'refused');
    metrics.problems(tell(problems));
    metrics.birdUp(bird.up);
    if (outcome?.kind === 'away') return birdRetryMs;
    return nodeInDoubt && following ? registerRetryMs : undefined;
  }

  /** Makes sure of this host's Node; whether it was written. A Node that is not ours to touch, or cannot be written, does not hold the rest up. */
  async function register(): Promise<boolean> {
    nodeInDoubt = false;
    const problem = (reason: string, effect: string): Problem => ({ key: `Node ${config.Hostname}`, reason, effect });
    try {
      const registered = await registerNode(etcd, config.Hostname, () => wantedRegistration(config, host));
      registrationProblem = registered.outcome === 'refused' ? problem(registered.reason, 'it is not registered') : undefined;
      if (registered.outcome === 'written') log.info({ node: config.Hostname }, 'Node registered');
      // Whoever was first is heard of as a change; should that not come, there is another look.
      nodeInDoubt = registered.outcome === 'written' || registered.outcome === 'overtaken';
      return nodeInDoubt;
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      nodeInDoubt = true;
      registrationProblem = problem(`cannot be registered: ${error.code}`, `tried again every ${registerRetryMs / 1000} s`);
      return false;
    }
  }

  function makePlan(): Plan {
    const facts: Host = {
      name: config.Hostname,
      routerId: config.RouterId,
      networks: host.networks(),
      workloadInterfacePrefixes: config.InterfacePrefix,
      deviceRouteProtocol: config.DeviceRouteProtocol,
      exportPrefixes: config.ExportPrefixes,
      holdSeconds: config.BgpHoldTimeSecs,
      logFile: config.BirdLogFile,
    };
    return plan(store.resources, facts, { selector: compileSelector, password: openPasswords(config.BgpPasswordFile) });
  }

  async function applyPlan(planned: Extract<Plan, { ok: true }>, problems: Problem[]): Promise<Outcome | { readonly kind: 'away' }> {
    const startedMs = performance.now();
    try {
      const outcome = await reconciler.reconcile(printConfiguration(planned.configuration));
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
      if (!(error instanceof BirdError) || (error.code !== 'BIRD_AWAY' && error.code !== 'BIRD_START_FAILED')) throw error;
      healthOf.bird.report({ live: true, ready: false, detail: error.message });
      say(error.message, () => log.warn({ err: error, retryMs: birdRetryMs }, 'BIRD is away; its routes stay, and its configuration waits for it'));
      return { kind: 'away' };
    }
  }

  const ownKey = resourceKey({ plural: 'nodes', name: config.Hostname });
  const follower = etcd.follow(followedPrefixes, {
    onChanges(changes) {
      if (changes.some(({ key }) => key === ownKey)) nodeInDoubt = true;
      if (store.apply(changes)) loop.wake();
    },
    onInSync(revision) {
      inSync = true;
      metrics.inSync(true);
      healthOf.datastore.report({ live: true, ready: true });
      log.info({ revision }, 'the datastore is read');
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
  });

  await serve(config, healthPages(health), metricsPages(metrics.registry));
  return {
    log,
    reload() {
      reconciler.retry();
      nodeInDoubt = true;
      loop.wake();
    },
    async close() {
      follower.close();
      await loop.close();
      bird.close();
      host.close();
      etcd.close();
    },
  };
}

function connect(config: Config): Etcd {
  const { EtcdCaFile: caFile, EtcdCertFile: certFile, EtcdKeyFile: keyFile, EtcdUsername: username, EtcdPassword: password } = config;
  try {
    return connectEtcd({
      endpoints: config.EtcdEndpoints,
      ...(caFile !== undefined && { caFile }),
      ...(certFile !== undefined && { certFile }),
      ...(keyFile !== undefined && { keyFile }),
      ...(username !== undefined && { username }),
      ...(password !== undefined && { password }),
    });
  } catch (error) {
    if (error instanceof EtcdError) throw new StartError(error.code, error.message, { cause: error });
    throw error;
  }
}

function wantedRegistration(config: Config, host: HostView): Registration {
  const address = (family: 4 | 6): string | undefined => {
    const wish = config[`IPv${family}Address`];
    if (wish.kind === 'given') return wish.address;
    return wish.kind === 'none' ? undefined : host.address(family);
  };
  return { ipv4Address: address(4), ipv6Address: address(6), asNumber: config.AsNumber };
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

async function serve(config: Config, health: ReturnType<typeof healthPages>, metrics: ReturnType<typeof metricsPages>): Promise<void> {
  if (config.HealthEnabled) await servePages(config.HealthHost, config.HealthPort, health);
  if (config.PrometheusMetricsEnabled) await servePages(config.PrometheusMetricsHost, config.PrometheusMetricsPort, metrics);
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
