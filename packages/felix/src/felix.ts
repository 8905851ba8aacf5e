// The agent: etcd → policy → render → kernel → status. One loop looks at everything that is dirty, whatever made it so.
import { existsSync } from 'node:fs';
import {
  createHealth,
  etcdOfCfg,
  healthPages,
  type Logger,
  type Loop,
  logComplaints,
  metricsPages,
  type OpenLog,
  openLog,
  outputsOf,
  RestartNeeded,
  type Running,
  startLoop,
  startNamesakeWarnings,
  startPages,
  takeEach,
  tellUnreadable,
} from '@calico-openstack/agent';
import { type DesiredChange, findNamesakes, resourceRoot } from '@calico-openstack/datamodel';
import { connectEtcd, type Etcd } from '@calico-openstack/etcd';
import { createPolicyCalculation } from '@calico-openstack/policy';
import { applyEdits, baseTables, type RenderOptions, tableName } from '@calico-openstack/render';
import { ConcernedAddresses } from './connections/concerned.ts';
import { type Cutting, startCutting } from './connections/cutting.ts';
import { type Enforcement, startEnforcement } from './connections/enforcement.ts';
import { createJudge, hostView } from './connections/judge.ts';
import { createDataplane, type Dataplane, type StepReport } from './dataplane.ts';
import { createDevices, type DeviceSettings, type Devices } from './devices.ts';
import { type HostKernel, openHostKernel } from './host-kernel.ts';
import { needing } from './kernel-needs.ts';
import { createMetrics } from './metrics.ts';
import type { FelixConfig } from './option-table.ts';
import { renderOptions } from './render-options.ts';
import { type ReservationKeeper, startReservationKeeper } from './reservations.ts';
import { createSettingsKeeper, localSources, type SettingsKeeper } from './settings.ts';
import { createStamping, type Stamping } from './stamping.ts';
import { type Statuses, startStatuses } from './status/statuses.ts';
import { anotherFelixPolices, createTakeOver, type TakeOver } from './takeover/takeover.ts';

const startedAtMs = Date.now() - performance.now();

/** Starts the agent in this process's network namespace. @throws StartError, EtcdError when it cannot be started as configured */
export async function startFelix(configFiles: readonly string[]): Promise<Running> {
  const keeper = createSettingsKeeper(localSources(configFiles, process.env));
  const { config } = keeper.settings;
  const output = openLog({ name: 'felix', ...outputsOf(config).log });
  const { log } = output;
  logComplaints(log, keeper.complaints);
  log.info(
    { host: config.FelixHostname, etcd: etcdOfCfg(config).endpoints.join(','), files: configFiles.filter((file) => existsSync(file)).join(',') },
    'starting',
  );
  // Before the kernel: an agent that could never learn what to program must not close what is open.
  const etcd = connectEtcd({ ...etcdOfCfg(config), onWarning: (sentence) => log.warn(sentence) });
  const kernel = openHostKernel(log, () => keeper.settings.config);
  const otherPolices = needing('nftables', anotherFelixPolices);
  const stamping = needing('nftables', () => createStamping(kernel, renderOptions(config).stamps, otherPolices, log));
  if (otherPolices) log.info({}, 'another Felix’s rules police this host: they stay until the datastore has been read and ours are in force');
  else needing('nftables', () => closeWhatIsOpen(kernel, { ...renderOptions(config), ...stamping.options }, log));
  const felix = new Felix(keeper, kernel, stamping, etcd, output);
  return {
    log,
    failed: felix.failed,
    reload: () => output.reopen(),
    close: () => felix.close(),
  };
}

const tableNames = ['inet', 'arp'] as const;

/**
 * Before etcd has been heard of: where no earlier run has left its rules (after a boot), nothing may pass from or to a workload interface. Rules of an earlier run stay:
 * the running workloads live by them.
 */
function closeWhatIsOpen(kernel: HostKernel, options: RenderOptions, log: Logger): void {
  const missing = tableNames.filter((name) => !kernel.tables[name].exists());
  if (missing.length === 0) return;
  const base = baseTables(options);
  applyEdits(kernel.tables, { inet: [], arp: [], ...Object.fromEntries(missing.map((name) => [name, base[name]])) });
  for (const name of missing) {
    kernel.tables[name].distrust();
    kernel.tables[name].apply();
  }
  log.info(
    { tables: missing.map((name) => `${name} ${tableName}`).join(','), interfaces: options.interfacePrefixes.map((prefix) => `${prefix}*`).join(',') },
    'closed until the datastore is known',
  );
}

type Programmed = { readonly dataplane: Dataplane; readonly devices: Devices; readonly statuses: Statuses; readonly region: string | undefined };

class Felix {
  readonly #keeper: SettingsKeeper;
  readonly #kernel: HostKernel;
  readonly #stamping: Stamping;
  readonly #concerned = new ConcernedAddresses();
  readonly #enforcement: Enforcement;
  readonly #cutting: Cutting;
  readonly #etcd: Etcd;
  readonly #output: OpenLog;
  readonly #log: Logger;
  readonly #metrics;
  readonly #calculation;
  readonly #programming: Loop;
  readonly #reservations: ReservationKeeper;
  readonly #takeOver: TakeOver;
  readonly #health = createHealth();
  readonly #components = {
    startup: this.#health.register('FelixStartup'),
    calculation: this.#health.register('CalculationGraph'),
    dataplane: this.#health.register('InternalDataplaneMainLoop'),
  };
  readonly #pages;
  readonly #fail = Promise.withResolvers<never>();
  readonly #closing: (() => void)[] = [];
  /** Made when the datastore is first ready: what it wants then is compared with what an earlier run has left. */
  #programmed: Programmed | undefined;
  #inSync = false;
  /** From the start: what the datastore says of them is looked at when its first reading is complete, not before. */
  #settingsDirty = true;
  #toldReady: boolean | undefined;
  #foreignRules = false;
  /** When the kernel is next to be compared as a whole; 0: not yet. */
  #dueMs = { tables: 0, devices: 0 };
  /** From when on the tables may be compared again because somebody else has changed rules. */
  #foreignDueMs = 0;

  constructor(keeper: SettingsKeeper, kernel: HostKernel, stamping: Stamping, etcd: Etcd, output: OpenLog) {
    const { log } = output;
    this.#keeper = keeper;
    this.#kernel = kernel;
    this.#stamping = stamping;
    this.#etcd = etcd;
    this.#output = output;
    this.#log = log;
    const { FelixHostname: host, WorkloadSourceSpoofing } = keeper.settings.config;
    this.#metrics = createMetrics(host);
    const judge = () =>
      createJudge(kernel.tables.inet.rules, stamping.options.stamps, hostView(this.#programmed?.dataplane.workloads ?? new Map(), kernel.links));
    this.#cutting = startCutting(kernel.conntrack, log, {
      onCut: (addresses) => {
        this.#programmed?.dataplane.release(addresses);
        this.#programming.wake();
      },
      onHeld: (addresses, reason) => {
        this.#programmed?.dataplane.hold(addresses, reason);
        this.#programming.wake();
      },
    });
    this.#enforcement = startEnforcement(kernel.conntrack, judge, log);
    this.#calculation = createPolicyCalculation({ host, allowSourceSpoofing: WorkloadSourceSpoofing === 'Any' });
    this.#pages = {
      health: startPages('health', healthPages(this.#health), log),
      metrics: startPages('metrics', metricsPages(this.#metrics.registry), log),
    };
    this.#programming = startLoop({
      run: () => this.#program(),
      onFailure: (error, failures, retryMs) => {
        this.#metrics.dataplaneFailures.inc();
        this.#components.dataplane.report({ live: true, ready: false, detail: (error as Error).message });
        this.#log.error({ err: error, failures, retryMs: Math.round(retryMs) }, 'cannot program the kernel: what it holds stays, and this is tried again');
      },
    });
    const links = kernel.links.watch(({ links: names }) => {
      this.#programmed?.devices.linksChanged(names);
      this.#programming.wake();
    });
    this.#closing.push(() => links.close());
    this.#reservations = startReservationKeeper(
      {
        hostAddresses: kernel.hostAddresses,
        etcdEndpoints: etcdOfCfg(keeper.settings.config).endpoints,
        etcdRemote: () => etcd.remoteAddress(),
        log,
        birdFile: keeper.settings.config.BirdConfigFile,
      },
      () => this.#programming.wake(),
    );
    this.#closing.push(() => this.#reservations.close());
    kernel.onDrift(() => this.#programming.wake());
    stamping.onChange(() => {
      this.#programmed?.dataplane.setOptions(this.#renderOptions());
      this.#programming.wake();
    });
    const onForeignRules = (): void => {
      this.#foreignRules = true;
      this.#takeOver.lookAgain();
      this.#programming.wake();
    };
    this.#takeOver = createTakeOver({
      links: kernel.links,
      interfacePrefixes: () => this.#keeper.settings.config.InterfacePrefix,
      health: this.#health,
      log,
      onGone: onForeignRules,
    });
    kernel.onForeignRules(onForeignRules);
    // Another Felix's rules may have gone since they were looked for, before changes were heard of.
    if (tableNames.some((name) => !kernel.tables[name].exists())) onForeignRules();
    this.#serve(keeper.settings.config);
    this.#follow();
  }

  /** Rejects when the agent cannot go on, or has to be started again. */
  get failed(): Promise<never> {
    return this.#fail.promise;
  }

  #follow(): void {
    const unreadable = tellUnreadable(this.#log);
    const follower = this.#etcd.follow([resourceRoot], {
      onChanges: (changes) => {
        takeEach(
          changes,
          ({ key, value }) => {
            if (this.#keeper.update(key, value)) this.#settingsDirty = true;
            this.#calculation.update(key, value);
          },
          (error, key) => this.#tellFault(error, key),
        );
        this.#metrics.updates.inc(changes.length);
        if (this.#inSync) this.#programming.wake();
      },
      onInSync: (revision) => {
        this.#inSync = true;
        this.#log.info({ revision, sinceStartMs: Math.round(performance.now()) }, 'datastore read');
        this.#programming.wake();
        this.#warnOfNamesakes();
      },
      onUnreadable: (keys, example) => {
        this.#metrics.unreadableKeys.set(keys);
        unreadable(keys, example);
      },
      onState: (state, reason) => {
        this.#metrics.resyncState.set({ connecting: 1, lost: 1, reading: 2, following: 3 }[state]);
        this.#components.calculation.report({ live: true, ready: state === 'following', ...(reason && { detail: reason }) });
        if (state === 'lost') this.#log.warn({ reason }, 'etcd is away: the kernel keeps what it holds');
        else this.#log.info({ state }, 'datastore');
      },
    });
    this.#closing.push(() => follower.close());
  }

  /** Nova may call this host otherwise than its system does: then it would get nothing, silently. */
  #warnOfNamesakes(): void {
    const { FelixHostname: host } = this.#keeper.settings.config;
    const keysWith = async (prefix: string) => (await this.#etcd.range(prefix, { keysOnly: true })).found.map(({ key }) => key);
    const look = () => findNamesakes(this.#keeper.settings.config.OpenstackRegion, host, keysWith);
    const watch = startNamesakeWarnings({ host, option: 'FelixHostname in felix.cfg', look, log: this.#log });
    this.#closing.push(() => watch.close());
  }

  /** A value that should have been understood or refused has thrown: a fault of ours, for which nothing else is held up. */
  #tellFault(error: unknown, key: string): void {
    this.#metrics.faults.inc();
    this.#log.error({ err: error, key }, 'a fault of Felix: this value could not be taken in and counts as absent; please report it with the value');
  }

  /** One look at everything that is dirty. Returns how long it may be until the next one. */
  #program(): number | undefined {
    if (this.#inSync && this.#settingsDirty) this.#refreshSettings();
    const { ready, config } = this.#keeper.settings;
    if (this.#foreignRules) this.#putBack();
    if (!this.#inSync || !ready) {
      const detail = this.#inSync ? 'ClusterInformation default does not say datastoreReady' : 'the datastore has not been read';
      this.#components.dataplane.report({ live: true, ready: false, detail });
      return undefined;
    }
    const startMs = performance.now();
    const first = !this.#programmed;
    this.#programmed ??= this.#openDataplane();
    const { dataplane, devices, statuses: reported } = this.#programmed;
    const restMs = this.#compareWhatIsDue(config, startMs, dataplane, devices);
    this.#reservations.tell(config.InterfacePrefix, (source, reservations) => this.#calculation.reserve(source, reservations));
    const change = this.#calculation.flush();
    for (const [id, workload] of change.workloads) this.#metrics.noteRefusals(id, workload?.refusals?.length ?? 0);
    this.#tellNotProgrammed(change);
    dataplane.note(change);
    this.#tellDefects();
    const { tables, statuses, retry, left } = this.#commit(dataplane, change);
    const tookMs = performance.now() - startMs;
    if (tables.inet.resynced) {
      // Whoever really touches our tables finds them put right each time; only strangers' changes elsewhere are not looked after each time.
      const touched = tables.inet.operations + tables.arp.operations > 0;
      this.#foreignDueMs = startMs + (touched ? 0 : Math.min(foreignRules.longestPauseMs, (tables.inet.tookMs + tables.arp.tookMs) * foreignRules.pauseOfTime));
    }
    this.#stamping.rulesInForce();
    this.#takeOver.rulesInForce();
    this.#holdConnections(config);
    this.#kernel.forward(config); // what is forwarded is governed now
    reported.note(statuses);
    this.#cutting.cut(left);
    if (first) {
      this.#log.info(
        { endpoints: dataplane.workloads.size, operations: tables.inet.operations + tables.arp.operations, tookMs: Math.round(tookMs) },
        'the kernel is as the datastore wants it',
      );
    }
    reported.configure(config);
    this.#metrics.applySeconds.observe(tookMs / 1000);
    this.#metrics.localEndpoints.set(dataplane.workloads.size);
    this.#components.startup.report({ live: true, ready: true });
    this.#components.dataplane.report({ live: true, ready: true });
    return Math.max(1, Math.min(restMs, retry ? retryMs : longestRestMs));
  }

  /** The kernel first: whose connections are concerned does not have to be known before. It is worked out where the kernel refused, too, since no later step hears of this change again. */
  #commit(dataplane: Dataplane, change: DesiredChange): StepReport {
    try {
      return dataplane.step();
    } finally {
      this.#concerned.note(change);
    }
  }

  #openDataplane(): Programmed {
    const { config } = this.#keeper.settings;
    const { kernel, earlier } = this.#kernel.openDevices(() => this.#keeper.settings.config);
    const devices = createDevices(kernel, this.#deviceSettings(config), earlier);
    const { FelixHostname: host, OpenstackRegion: region } = config;
    return {
      region,
      statuses: startStatuses({ etcd: this.#etcd, region, host, startedAtMs, log: this.#log }),
      devices,
      dataplane: createDataplane(this.#kernel.tables, devices, this.#renderOptions(), ({ table, edit, error }) =>
        this.#log.error({ err: error, table, edit: edit.edit }, 'a rule cannot be programmed: what it governs stays closed'),
      ),
    };
  }

  #renderOptions(): RenderOptions {
    return { ...renderOptions(this.#keeper.settings.config), ...this.#stamping.options };
  }

  #deviceSettings(config: FelixConfig): DeviceSettings {
    return {
      routeProtocol: config.DeviceRouteProtocol,
      metric: { 4: config.IPv4NormalRoutePriority, 6: config.IPv6NormalRoutePriority },
      ipv6: config.Ipv6Support,
      rpFilter: this.#kernel.defaultRpFilter,
    };
  }

  #refreshSettings(): void {
    this.#settingsDirty = false;
    const { changed, complaints } = this.#keeper.refresh();
    logComplaints(this.#log, complaints);
    const { settings } = this.#keeper;
    if (this.#toldReady !== settings.ready)
      this.#log.info(
        { ready: settings.ready },
        settings.ready ? 'the datastore is ready' : 'the datastore is not ready: the kernel keeps what it holds until it is',
      );
    this.#toldReady = settings.ready;
    if (!changed) return;
    // The keys of all that is reported hang on it. A datastore that is not ready does not say what it is.
    if (settings.ready && this.#programmed && this.#programmed.region !== settings.config.OpenstackRegion)
      this.#fail.reject(new RestartNeeded('OpenstackRegion changed in the datastore'));
    this.#serve(settings.config);
    this.#calculation.setOptions({ allowSourceSpoofing: settings.config.WorkloadSourceSpoofing === 'Any' });
    this.#concerned.noteAll();
    this.#stamping.want(renderOptions(settings.config).stamps);
    this.#programmed?.dataplane.setOptions(this.#renderOptions());
    this.#programmed?.devices.setSettings(this.#deviceSettings(settings.config));
  }

  /** Compares with the kernel what is due to be compared, and says how long it may be until the next is. */
  #compareWhatIsDue(config: FelixConfig, nowMs: number, dataplane: Dataplane, devices: Devices): number {
    const due = (what: 'tables' | 'devices', intervalMs: number): boolean => {
      const isDue = intervalMs > 0 && this.#dueMs[what] > 0 && nowMs >= this.#dueMs[what];
      if (isDue || this.#dueMs[what] === 0) this.#dueMs[what] = nowMs + intervalMs;
      return isDue;
    };
    if (due('tables', config.NftablesRefreshInterval * 1000)) {
      dataplane.distrustTables();
      this.#takeOver.lookAgain();
    }
    if (due('devices', config.RouteRefreshInterval * 1000)) {
      Promise.all([devices.audit(), this.#kernel.hostAddresses.audit()]).then(
        () => this.#programming.wake(),
        (error: unknown) => this.#log.warn({ err: error }, 'cannot compare routes and neighbours with the kernel; tried again at the next interval'),
      );
    }
    if (this.#foreignRules && nowMs >= this.#foreignDueMs) {
      this.#foreignRules = false;
      dataplane.distrustTables();
    }
    const intervals = [
      config.NftablesRefreshInterval > 0 ? this.#dueMs.tables : 0,
      config.RouteRefreshInterval > 0 ? this.#dueMs.devices : 0,
      this.#foreignRules ? this.#foreignDueMs : 0,
    ];
    return Math.min(longestRestMs, ...intervals.filter((atMs) => atMs > 0).map((atMs) => atMs - nowMs));
  }

  /** A table of ours that somebody else has removed comes back at once, whether the datastore is there or not. */
  #putBack(): void {
    const gone = tableNames.filter((name) => !this.#kernel.tables[name].exists());
    // Before the datastore has been read another Felix's rules may police the host instead of ours; nothing is closed while they do.
    if (gone.length === 0 || (!this.#programmed && anotherFelixPolices())) return;
    this.#log.warn({ tables: gone.map((name) => `${name} ${tableName}`).join(',') }, 'somebody else has removed the rules of Felix: ours are put there');
    if (gone.includes('inet')) this.#stamping.rulesGone();
    if (!this.#programmed) closeWhatIsOpen(this.#kernel, this.#renderOptions(), this.#log);
    else
      for (const name of gone) {
        this.#kernel.tables[name].distrust();
        this.#kernel.tables[name].apply();
      }
  }

  /** The rules in force may allow less than before. */
  #holdConnections({ EstablishedConnections }: FelixConfig): void {
    if (this.#stamping.options.unstamped === 'pass') return; // what is cut now would be stamped again
    const concerned = this.#concerned.take();
    if (EstablishedConnections === 'Enforce') this.#enforcement.enforce(concerned);
  }

  #tellDefects(): void {
    for (const [key, defect] of this.#calculation.takeDefects()) {
      if (defect) this.#log.warn({ key, reason: defect.reason }, 'not understood: it lets nothing through that a valid reading would have stopped');
      else this.#log.info({ key }, 'understood again, or gone');
      this.#metrics.noteDefect(key, defect !== undefined);
    }
  }

  /** What is calculated, and not yet programmed by this version: an operator must not believe that it is in force. */
  #tellNotProgrammed({ hostEndpoints, pools, workloads }: DesiredChange): void {
    for (const [id, endpoint] of hostEndpoints)
      if (endpoint) this.#log.warn({ hostEndpoint: id }, 'host endpoints are not programmed by this version: the host’s own interfaces are not policed');
    for (const pool of pools.values()) if (pool?.natOutgoing) this.#log.warn({ pool: pool.cidr }, 'outgoing NAT of IP pools is not programmed by this version');
    for (const workload of workloads.values())
      if (workload?.qosControls) this.#log.warn({ endpoint: workload.id }, 'QoS controls are not programmed by this version');
  }

  /** What people see of this process: its log, health and metrics, where and as the settings want them. */
  #serve(config: FelixConfig): void {
    const { log, health, metrics } = outputsOf(config);
    try {
      this.#output.configure(log);
    } catch (error) {
      this.#log.error({ err: error, file: config.LogFilePath }, 'cannot write the log there: it stays as it was');
    }
    this.#pages.health.serve(health);
    this.#pages.metrics.serve(metrics);
  }

  /** What is in the kernel and in etcd stays. */
  async close(): Promise<void> {
    await this.#programming.close();
    await this.#takeOver.close();
    await this.#programmed?.statuses.close();
    await Promise.all([this.#pages.health.close(), this.#pages.metrics.close()]);
    for (const close of this.#closing.reverse()) close();
    this.#stamping.close();
    this.#enforcement.close();
    this.#cutting.close();
    this.#etcd.close();
    this.#kernel.close();
  }
}

/** What the kernel refused of a device is tried again after this. */
const retryMs = 1000;
const longestRestMs = 3_600_000;
/** Somebody who changes rules all the time must not have the tables compared all the time: at most a twentieth of it goes there. */
const foreignRules = { pauseOfTime: 20, longestPauseMs: 5000 };
