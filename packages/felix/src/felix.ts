// The agent: etcd → policy → render → kernel → status. One loop handles all changes, whatever caused them.
import { existsSync } from 'node:fs';
import {
  type Clock,
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
  systemClock,
  takeEach,
  tellUnreadable,
} from '@calico-openstack/agent';
import { type DesiredChange, resourceRoot } from '@calico-openstack/datamodel';
import { type Change, connectEtcd, type Etcd } from '@calico-openstack/etcd';
import { type NetconfChange, readSysctl } from '@calico-openstack/kernel';
import { createPolicyCalculation } from '@calico-openstack/policy';
import { type RenderOptions, type TableName, tableName } from '@calico-openstack/render';
import { type ComparisonIntervals, ComparisonSchedule } from './comparisons.ts';
import { Connections } from './connections/connections.ts';
import { createJudge, hostView } from './connections/judge.ts';
import { createDataplane, type Dataplane, type StepReport } from './dataplane.ts';
import { shaperRights } from './devices/shaping.ts';
import { createDevices, type DeviceSettings, type Devices } from './devices.ts';
import { type ForeignChains, startForeignChains } from './foreign-chains.ts';
import { HostInterfaces } from './host-endpoints.ts';
import { elevatedMetric, type HostKernel, openHostKernel } from './host-kernel.ts';
import { kernelHasIpv6 } from './host-settings.ts';
import { needing } from './kernel-needs.ts';
import { boundLargeHeap, collectAfterStart } from './large-heap.ts';
import { createMetrics } from './metrics.ts';
import { hostNamed, namesakesOf } from './namesakes.ts';
import { Notices } from './notices.ts';
import type { FelixConfig } from './option-table.ts';
import { renderOptions } from './render-options.ts';
import { type ReservationKeeper, startReservationKeeper } from './reservations.ts';
import { createSettingsKeeper, localSources, type SettingsKeeper } from './settings.ts';
import { Sharing } from './sharing/sharing.ts';
import { createStamping, type Stamping } from './stamping.ts';
import { type Statuses, startStatuses } from './status/statuses.ts';
import { anotherFelixPolices, createTakeOver, type TakeOver } from './takeover/takeover.ts';
import { WaitingChanges } from './waiting-changes.ts';

const startedAtMs = Date.now() - performance.now();

/**
 * Starts the agent in this process's network namespace.
 * @throws StartError, EtcdError when it cannot be started as configured, and IniError when a configuration file cannot be read
 */
export async function startFelix(configFiles: readonly string[]): Promise<Running> {
  const ipv6 = kernelHasIpv6(readSysctl);
  const keeper = createSettingsKeeper(localSources(configFiles, process.env), { ipv6 });
  const { config } = keeper.settings;
  const output = openLog({ name: 'felix', ...outputsOf(config).log });
  const { log } = output;
  logComplaints(log, keeper.complaints);
  log.info(
    { host: config.FelixHostname, etcd: etcdOfCfg(config).endpoints.join(','), files: configFiles.filter((file) => existsSync(file)).join(',') },
    'Felix starts',
  );
  if (!ipv6) log.warn({}, 'this kernel has no IPv6 (ipv6.disable=1): Ipv6Support counts as false, and workloads have IPv4 alone');
  // etcd comes before the kernel. An agent whose options for etcd are wrong must not close the host.
  const etcd = connectEtcd({ ...etcdOfCfg(config), onWarning: (sentence) => log.warn(sentence) });
  const kernel = openHostKernel(log, () => keeper.settings.config);
  const policedAtStart = needing('nftables', anotherFelixPolices);
  const stamping = needing('nftables', () => createStamping(kernel, renderOptions(config).stamps, policedAtStart, log));
  if (policedAtStart) log.info({}, 'the rules of another Felix police this host; they stay until the datastore has been read and our rules are in force');
  const another = { policedAtStart, polices: anotherFelixPolices, takeOver: createTakeOver };
  const felix = needing('nftables', () => new Felix({ keeper, kernel, stamping, another, etcd, output, clock: systemClock }));
  return {
    log,
    failed: felix.failed,
    reload: () => output.reopen(),
    close: () => felix.close(),
  };
}

/** Another Felix on this host (takeover.ts). */
export type AnotherFelix = {
  /** Whether its rules policed the host when this process started. */
  readonly policedAtStart: boolean;
  /** Returns whether its rules police the host now. */
  readonly polices: () => boolean;
  /** Creates what removes its rules. */
  readonly takeOver: typeof createTakeOver;
};

/** The parts that `Felix` works with, and closes. */
export type FelixParts = {
  readonly keeper: SettingsKeeper;
  readonly kernel: HostKernel;
  readonly stamping: Stamping;
  readonly another: AnotherFelix;
  readonly etcd: Etcd;
  readonly output: OpenLog;
  readonly clock: Clock;
};

/** The parts that exist once the datastore has been ready for the first time. */
type Programmed = { readonly devices: Devices; readonly sharing: Sharing; readonly statuses: Statuses; readonly region: string | undefined };

/** The agent. It works from its construction until it is closed, and then closes its parts. */
export class Felix {
  readonly #keeper: SettingsKeeper;
  readonly #kernel: HostKernel;
  readonly #stamping: Stamping;
  readonly #another: AnotherFelix;
  readonly #takeOver: TakeOver;
  readonly #foreignChains: ForeignChains;
  readonly #dataplane: Dataplane;
  readonly #connections: Connections;
  readonly #comparisons = new ComparisonSchedule();
  readonly #etcd: Etcd;
  readonly #output: OpenLog;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #metrics;
  readonly #notices: Notices;
  readonly #calculation;
  readonly #programming: Loop;
  readonly #reservations: ReservationKeeper;
  readonly #hostInterfaces: HostInterfaces;
  readonly #health = createHealth();
  readonly #components = {
    startup: this.#health.register('FelixStartup'),
    calculation: this.#health.register('CalculationGraph'),
    dataplane: this.#health.register('InternalDataplaneMainLoop'),
  };
  readonly #pages;
  readonly #fail = Promise.withResolvers<never>();
  readonly #closing: (() => void)[] = [];
  #programmed: Programmed | undefined;
  /** The sockets that receive guests' frames while a guest is awaited. */
  #hearing: { close(): void } | undefined;
  /** The changes of the datastore, since it was read, that have not been processed. */
  readonly #waiting = new WaitingChanges();
  #inSync = false;
  /** Whether the settings have to be resolved again. This happens for the first time when the first reading of the datastore is complete. */
  #settingsDirty = true;
  /** Whether the datastore was ready when that was last logged. */
  #loggedReady: boolean | undefined;

  /** @throws NftablesError, NetlinkError when the kernel refuses the rules of the closed state */
  constructor({ keeper, kernel, stamping, another, etcd, output, clock }: FelixParts) {
    const { log } = output;
    this.#keeper = keeper;
    this.#kernel = kernel;
    this.#stamping = stamping;
    this.#another = another;
    this.#etcd = etcd;
    this.#output = output;
    this.#log = log;
    this.#clock = clock;
    const { config } = keeper.settings;
    this.#metrics = createMetrics(config.FelixHostname, {
      calculation: () => this.#calculation.counts(),
      tables: () => ({ inet: kernel.tables.inet.counts(), arp: kernel.tables.arp.counts() }),
      routes: () => this.#programmed?.devices.counts(),
    });
    this.#notices = new Notices(log, this.#metrics);
    this.#hostInterfaces = new HostInterfaces(
      kernel.links,
      (name) => shaperRights.isOurIfb(name) || keeper.settings.config.InterfacePrefix.some((prefix) => name.startsWith(prefix)),
    );
    this.#dataplane = createDataplane(kernel.tables, this.#renderOptions(), (rejected) => this.#notices.rejected(rejected));
    if (!another.policedAtStart) this.#logClosed(this.#dataplane.closeWhatIsOpen());
    this.#calculation = createPolicyCalculation({ host: config.FelixHostname, allowSourceSpoofing: config.WorkloadSourceSpoofing === 'Any' });
    this.#pages = {
      health: startPages('health', healthPages(this.#health), log),
      metrics: startPages('metrics', metricsPages(this.#metrics.registry), log),
    };
    this.#programming = startLoop({
      run: () => this.#takeAndProgram(),
      onFailure: (error, failures, retryMs) => this.#reportFailure(error, failures, retryMs),
      clock,
    });
    this.#connections = this.#watchConnections();
    this.#reservations = startReservationKeeper(
      {
        hostAddresses: kernel.hostAddresses,
        etcdEndpoints: etcdOfCfg(config).endpoints,
        etcdRemote: () => etcd.remoteAddress(),
        log,
        birdFile: config.BirdConfigFile,
      },
      () => this.#programming.wake(),
    );
    this.#closing.push(() => this.#reservations.close());
    this.#foreignChains = this.#watchForeignChains();
    this.#takeOver = this.#watchKernel();
    this.#serve(config);
    this.#follow();
  }

  /** Rejects when the agent has to be started again. */
  get failed(): Promise<never> {
    return this.#fail.promise;
  }

  #watchConnections(): Connections {
    return new Connections({
      conntrack: this.#kernel.conntrack,
      judge: () => createJudge(this.#kernel.tables.inet.rules, this.#stamping.options.stamps, hostView(this.#dataplane.workloads, this.#kernel.links)),
      log: this.#log,
      clock: this.#clock,
      onCut: (addresses) => {
        this.#dataplane.release(addresses);
        this.#programming.wake();
      },
      onHeld: (addresses, reason) => {
        this.#dataplane.hold(addresses, reason);
        this.#programming.wake();
      },
    });
  }

  #watchForeignChains(): ForeignChains {
    const { links, hostAddresses } = this.#kernel;
    return startForeignChains({
      read: () => this.#kernel.readOtherChains(),
      uplinks: () => hostAddresses.read().flatMap(({ is, device }) => (is === 'next-hop' && device !== undefined ? [device] : [])),
      link: (name) => links.link(name),
      metrics: this.#metrics,
      log: this.#log,
      clock: this.#clock,
      onChange: () => {
        this.#programmed?.devices.obstaclesChanged();
        this.#programming.wake();
      },
    });
  }

  #watchKernel(): TakeOver {
    const { links, onDrift, onForeignRules, onSettings } = this.#kernel;
    const subscription = links.watch((change) => {
      this.#hostInterfaces.linksChanged([...change.links, ...change.addresses]);
      this.#metrics.linkBatch.observe(change.links.size);
      this.#programmed?.devices.linksChanged(change);
      this.#programming.wake();
    });
    this.#closing.push(() => subscription.close());
    onSettings((changes) => this.#settingsChanged(changes));
    onDrift(() => this.#programming.wake());
    this.#stamping.onChange(() => {
      this.#dataplane.setOptions(this.#renderOptions());
      this.#programming.wake();
    });
    const noteStrangers = (): void => {
      this.#comparisons.noteStrangers();
      takeOver.lookAgain();
      this.#foreignChains.lookAgain();
      this.#programming.wake();
    };
    const takeOver = this.#another.takeOver({
      links,
      interfacePrefixes: () => this.#keeper.settings.config.InterfacePrefix,
      health: this.#health,
      log: this.#log,
      onGone: noteStrangers,
    });
    onForeignRules(noteStrangers);
    // Another Felix's rules may have gone after they were found and before changes were reported.
    if (this.#dataplane.missingTables().length > 0) noteStrangers();
    return takeOver;
  }

  /** @param changes undefined when the kernel had to drop reports */
  #settingsChanged(changes: readonly NetconfChange[] | undefined): void {
    const ofHost = changes?.some(({ link }) => link === 'all') ?? true;
    const ofDevices = changes?.filter((change) => this.#programmed?.devices.settingsChanged(change)) ?? [];
    if (ofHost) this.#kernel.settings.doubt();
    if (ofHost || ofDevices.length > 0) this.#programming.wake();
  }

  #follow(): void {
    const unreadable = tellUnreadable(this.#log);
    const boundHeap = boundLargeHeap();
    const follower = this.#etcd.follow([resourceRoot], {
      onChanges: (changes, _revision, isHistory) => {
        if (this.#inSync) this.#waiting.add(changes, isHistory);
        else this.#takeIn(changes); // nothing is programmed yet, so a long turn of the loop delays nothing
        boundHeap();
        if (this.#inSync) this.#programming.wake();
      },
      onInSync: (revision) => {
        this.#inSync = true;
        this.#log.info({ revision, sinceStartMs: Math.round(this.#clock.steadyMs()) }, 'the datastore has been read');
        this.#programming.wake();
        this.#warnOfNamesakes();
      },
      onUnreadable: (keys, example) => {
        this.#metrics.unreadableKeys.set(keys);
        unreadable(keys, example);
      },
      onState: (state, reason) => {
        this.#metrics.resyncState.set({ connecting: 1, lost: 1, reading: 2, following: 3 }[state]);
        if (state === 'reading') this.#metrics.resyncsStarted.inc();
        this.#components.calculation.report({ live: true, ready: state === 'following', ...(reason && { detail: reason }) });
        if (state === 'lost') this.#log.warn({ reason }, 'etcd is away; the kernel keeps its rules and routes, and changes wait until etcd is back');
        else this.#log.info({ state }, 'the state of the connection to the datastore has changed');
      },
    });
    this.#closing.push(() => follower.close());
  }

  #takeIn(changes: readonly Change[]): void {
    if (changes.length === 0) return;
    const fromMs = this.#clock.steadyMs();
    takeEach(
      changes,
      ({ key, value }) => {
        if (this.#keeper.update(key, value)) this.#settingsDirty = true;
        this.#calculation.update(key, value);
      },
      (error, key) => this.#notices.fault(error, key),
    );
    this.#metrics.calculationSeconds.observe((this.#clock.steadyMs() - fromMs) / 1000);
    this.#metrics.noteUpdates(changes.map(({ key }) => key));
  }

  /** Warns when Nova seems to call this host by another name than its system does. Otherwise it would silently get no endpoints. */
  #warnOfNamesakes(): void {
    const look = () => namesakesOf(this.#etcd, this.#keeper.settings.config);
    const watch = startNamesakeWarnings({ ...hostNamed(this.#keeper.settings.config), look, log: this.#log });
    this.#closing.push(() => watch.close());
  }

  /** Handles what has changed. Of a great many changes it handles a portion, and the next run follows at once. Returns after how many milliseconds the next run begins at the latest. */
  #takeAndProgram(): number | undefined {
    const startMs = this.#clock.steadyMs();
    this.#takeIn(this.#waiting.take());
    if (!this.#waiting.isEmpty) this.#programming.wake();
    const restMs = this.#program();
    this.#waiting.noteTook(this.#clock.steadyMs() - startMs);
    return restMs;
  }

  /** Programs the changes that have been processed. Returns after how many milliseconds the next run begins at the latest. */
  #program(): number | undefined {
    if (this.#inSync && this.#settingsDirty) this.#refreshSettings();
    const { ready, config } = this.#keeper.settings;
    if (this.#comparisons.strangersChangedRules) this.#putBack();
    if (!this.#inSync || !ready) {
      const detail = this.#inSync ? 'spec.datastoreReady of ClusterInformation default is not true' : 'the datastore has not been read';
      this.#components.dataplane.report({ live: true, ready: false, detail });
      return undefined;
    }
    const startMs = this.#clock.steadyMs();
    const first = !this.#programmed;
    this.#programmed ??= this.#openDevices();
    const { devices, statuses: reported } = this.#programmed;
    this.#compareWhatIsDue(config, startMs, devices);
    this.#reservations.tell(config.InterfacePrefix, (source, reservations) => this.#calculation.reserve(source, reservations));
    const changes = this.#calculate(this.#programmed, config);
    this.#notices.defects(this.#calculation.takeDefects());
    const { tables, statuses, retry, left } = this.#commit(changes);
    const endMs = this.#clock.steadyMs();
    const operations = tables.inet.operations + tables.arp.operations;
    this.#comparisons.noteApplied(startMs, { resynced: tables.inet.resynced, operations, tookMs: tables.inet.tookMs + tables.arp.tookMs });
    this.#stamping.rulesInForce();
    this.#takeOver.rulesInForce();
    this.#hearGuests(devices);
    // While connections are still being stamped, connections that are cut would be stamped again.
    if (this.#stamping.options.unstamped === 'judge') this.#connections.rulesInForce(config.EstablishedConnections === 'Enforce');
    this.#kernel.settings.settle(config, devices.areAnyUnfiltered); // not earlier: our rules police forwarded packets from now on
    reported.note(statuses);
    reported.noteHosts(this.#hostInterfaces.takeStatuses());
    this.#connections.cut(left);
    if (first) this.#metrics.initialResyncSeconds.set(endMs / 1000);
    if (first)
      this.#log.info({ endpoints: this.#dataplane.workloads.size, operations, tookMs: Math.round(endMs - startMs) }, 'the kernel is as the datastore wants it');
    if (first) this.#collectAfterStart();
    reported.configure(config);
    this.#metrics.applySeconds.observe((endMs - startMs) / 1000);
    this.#metrics.localEndpoints.set(this.#dataplane.workloads.size);
    this.#components.startup.report({ live: true, ready: true });
    this.#components.dataplane.report({ live: true, ready: true });
    return Math.max(
      1,
      Math.min(
        this.#comparisons.restMs(endMs, intervalsOf(config)),
        retry ? retryMs : longestRestMs,
        devices.restMs() ?? longestRestMs,
        this.#hostInterfaces.restMs(endMs) ?? longestRestMs,
      ),
    );
  }

  #collectAfterStart(): void {
    const ended = new AbortController();
    this.#closing.push(() => ended.abort());
    void collectAfterStart((ms, signal) => this.#clock.pause(ms, signal), ended.signal);
  }

  /** Calculates what has changed, and renders it. An address that has just become shared belongs to nobody until a guest has shown that it has it, which needs a second calculation. */
  #calculate({ sharing }: Programmed, { SharedAddressPairs }: FelixConfig): readonly DesiredChange[] {
    const changes: DesiredChange[] = [];
    let holders = sharing.takeChanged();
    do {
      if (holders) this.#calculation.setHolders(holders);
      const change = this.#calculation.flush();
      this.#notices.change(change);
      this.#metrics.noteChange(change);
      sharing.note(change.workloads, SharedAddressPairs === 'Follow', (id) => this.#dataplane.workloads.get(id)?.routed);
      this.#dataplane.note(change, this.#hostInterfaces.take(change.hostEndpoints, this.#clock.steadyMs()));
      changes.push(change);
      holders = sharing.takeChanged();
    } while (holders);
    return changes;
  }

  /** Listens for guests while a workload is awaited by live migration. */
  #hearGuests(devices: Devices): void {
    if (!devices.areAnyAwaited) {
      this.#hearing?.close();
      this.#hearing = undefined;
      return;
    }
    try {
      this.#hearing ??= this.#kernel.hearGuests((linkIndex) => {
        if (devices.heard(linkIndex)) this.#programming.wake();
      });
    } catch (error) {
      this.#log.error(
        { err: error },
        'cannot hear the guests that migrate to this host: they get no packets until Neutron activates their ports here, seconds late; start Felix with CAP_NET_RAW',
      );
      this.#hearing = { close: () => undefined }; // a retry before the next migration would not help
    }
  }

  /**
   * Programs the kernel, and then derives which connections the change concerns. The kernel comes first, because it does not depend on that. The connections are derived also when the
   * kernel refused, because no later step gets this change again.
   */
  #commit(changes: readonly DesiredChange[]): StepReport {
    try {
      return this.#dataplane.step();
    } finally {
      for (const change of changes) this.#connections.note(change);
    }
  }

  #openDevices(): Programmed {
    const { config } = this.#keeper.settings;
    const { kernel, earlier } = this.#kernel.openDevices(() => this.#keeper.settings.config, {
      onSysctlsRestored: (name, sysctls) => this.#notices.sysctlsRestored(name, sysctls),
      obstacleOf: (name, ipv6) => this.#foreignChains.obstacleOf(name, ipv6),
    });
    const devices = createDevices(kernel, this.#deviceSettings(config), earlier, this.#clock);
    this.#dataplane.begin(devices);
    this.#answerForGateways(devices);
    const sharing = new Sharing({
      open: (onHeard) => this.#kernel.talkOfAddresses(onHeard),
      links: this.#kernel.links,
      led: earlier.led,
      log: this.#log,
      clock: this.#clock,
      onChange: () => this.#programming.wake(),
    });
    const { FelixHostname: host, OpenstackRegion: region } = config;
    return { region, devices, sharing, statuses: startStatuses({ etcd: this.#etcd, region, host, startedAtMs, log: this.#log, clock: this.#clock }) };
  }

  #answerForGateways(devices: Devices): void {
    try {
      const answers = this.#kernel.answerForGateways((linkIndex, address) => devices.macOfGateway(linkIndex, address));
      this.#closing.push(() => answers.close());
    } catch (error) {
      this.#log.warn(
        { err: error },
        'cannot answer for the gateways of workloads; they have a network only where the kernel answers, which it does not without a default route or with arp_ignore 2 or 8; start Felix with CAP_NET_RAW',
      );
    }
  }

  #renderOptions(): RenderOptions {
    return { ...renderOptions(this.#keeper.settings.config), ...this.#stamping.options };
  }

  #deviceSettings(config: FelixConfig): DeviceSettings {
    return {
      routeProtocol: config.DeviceRouteProtocol,
      metric: { 4: config.IPv4NormalRoutePriority, 6: config.IPv6NormalRoutePriority },
      elevatedMetric: elevatedMetric(config),
      convergenceMs: config.LiveMigrationRouteConvergenceTime * 1000,
      ipv6: config.Ipv6Support,
      rpFilter: this.#kernel.defaultRpFilter,
    };
  }

  #refreshSettings(): void {
    this.#settingsDirty = false;
    const { changed, complaints } = this.#keeper.refresh();
    logComplaints(this.#log, complaints);
    const { settings } = this.#keeper;
    if (this.#loggedReady !== settings.ready)
      this.#log.info(
        { ready: settings.ready },
        settings.ready
          ? 'the datastore is ready'
          : 'the datastore is not ready (spec.datastoreReady of ClusterInformation default): nothing is programmed until it is, and the kernel keeps its rules and routes',
      );
    this.#loggedReady = settings.ready;
    if (!changed) return;
    // All keys of statuses contain the region. A datastore that is not ready may lack the region.
    if (settings.ready && this.#programmed && this.#programmed.region !== settings.config.OpenstackRegion)
      this.#fail.reject(new RestartNeeded('OpenstackRegion changed in the datastore'));
    this.#serve(settings.config);
    this.#calculation.setOptions({ allowSourceSpoofing: settings.config.WorkloadSourceSpoofing === 'Any' });
    this.#connections.noteAll();
    this.#stamping.want(renderOptions(settings.config).stamps);
    this.#hostInterfaces.linksChanged();
    this.#dataplane.setOptions(this.#renderOptions());
    this.#programmed?.devices.setSettings(this.#deviceSettings(settings.config));
    this.#programmed?.sharing.note(
      this.#dataplane.workloads,
      settings.config.SharedAddressPairs === 'Follow',
      (id) => this.#dataplane.workloads.get(id)?.routed,
    );
  }

  #compareWhatIsDue(config: FelixConfig, nowMs: number, devices: Devices): void {
    const due = this.#comparisons.takeDue(nowMs, intervalsOf(config));
    if (due.tables) {
      this.#dataplane.distrustTables();
      this.#takeOver.lookAgain();
      this.#foreignChains.lookAgain();
    }
    if (!due.devices) return;
    this.#kernel.settings.doubt();
    Promise.all([devices.audit(), this.#kernel.hostAddresses.audit()]).then(
      () => this.#programming.wake(),
      (error: unknown) =>
        this.#log.warn(
          { err: error },
          'cannot compare routes and neighbours with the kernel; changes that others made to them may stay until the next interval, when this is retried',
        ),
    );
  }

  /** Creates our tables again at once if another program has removed them, whether etcd can be reached or not. */
  #putBack(): void {
    const missing = this.#dataplane.missingTables();
    // Before the datastore has been read, another Felix's rules may police the host instead of ours. Nothing is closed while they do.
    if (missing.length === 0 || (!this.#programmed && this.#another.polices())) return;
    this.#log.warn({ tables: printTables(missing) }, 'somebody else has removed the rules of Felix; they are installed again; find out which program did it');
    if (missing.includes('inet')) this.#stamping.rulesGone();
    this.#dataplane.putBack(missing);
    if (!this.#programmed) this.#logClosed(missing);
  }

  #logClosed(made: readonly TableName[]): void {
    if (made.length === 0) return;
    const interfaces = this.#keeper.settings.config.InterfacePrefix.map((prefix) => `${prefix}*`).join(',');
    this.#log.info(
      { tables: printTables(made), interfaces },
      'the host had no rules of Felix: packets from and to these interfaces are dropped until the datastore is known',
    );
  }

  #reportFailure(error: unknown, failures: number, retryMs: number): void {
    this.#metrics.dataplaneFailures.inc();
    this.#components.dataplane.report({ live: true, ready: false, detail: (error as Error).message });
    this.#log.error(
      { err: error, failures, retryMs: Math.round(retryMs) },
      'cannot program the kernel; it keeps the former rules and routes, and the change is retried after a pause',
    );
  }

  /** Moves log, health and metrics to where the settings want them. */
  #serve(config: FelixConfig): void {
    const { log, health, metrics } = outputsOf(config);
    try {
      this.#output.configure(log);
    } catch (error) {
      this.#log.error({ err: error, file: config.LogFilePath }, 'cannot write this log file; the log stays where it was; correct LogFilePath');
    }
    this.#pages.health.serve(health);
    this.#pages.metrics.serve(metrics);
  }

  /** Ends the agent's work. Its rules, routes and statuses stay. */
  async close(): Promise<void> {
    await this.#programming.close();
    await this.#takeOver.close();
    await this.#foreignChains.close();
    await this.#programmed?.sharing.close();
    await this.#programmed?.statuses.close();
    await Promise.all([this.#pages.health.close(), this.#pages.metrics.close()]);
    for (const close of this.#closing.reverse()) close();
    this.#hearing?.close();
    this.#stamping.close();
    this.#connections.close();
    this.#etcd.close();
    this.#kernel.close();
  }
}

/** After how long an object is retried that the kernel has refused. */
const retryMs = 1000;
const longestRestMs = 3_600_000;

const intervalsOf = ({ NftablesRefreshInterval, RouteRefreshInterval }: FelixConfig): ComparisonIntervals => ({
  tablesMs: NftablesRefreshInterval * 1000,
  devicesMs: RouteRefreshInterval * 1000,
});
const printTables = (names: readonly TableName[]): string => names.map((name) => `${name} ${tableName}`).join(',');
