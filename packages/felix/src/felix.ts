// The agent: etcd → policy → render → kernel → status. One loop handles all changes, whatever caused them.
import {
  type Clock,
  etcdOfCfg,
  type Logger,
  type Loop,
  logComplaints,
  type OpenLog,
  RestartNeeded,
  startLoop,
  startNamesakeWarnings,
} from '@calico-openstack/agent';
import type { DesiredChange } from '@calico-openstack/datamodel';
import type { Etcd } from '@calico-openstack/etcd';
import type { NetconfChange } from '@calico-openstack/kernel';
import { createPolicyCalculation } from '@calico-openstack/policy';
import type { RenderOptions } from '@calico-openstack/render';
import { type ComparisonIntervals, ComparisonSchedule } from './comparisons.ts';
import { Connections } from './connections/connections.ts';
import { createJudge, hostView } from './connections/judge.ts';
import { createDataplane, type Dataplane, type StepReport } from './dataplane.ts';
import { shaperRights } from './devices/shaping.ts';
import { createDevices, type DeviceSettings, type Devices } from './devices.ts';
import { Following } from './following.ts';
import { type ForeignChains, startForeignChains } from './foreign-chains.ts';
import { Guests } from './guests.ts';
import { HostInterfaces } from './host-endpoints.ts';
import { elevatedMetric, type HostKernel } from './host-kernel.ts';
import { collectAfterStart } from './large-heap.ts';
import { createMetrics } from './metrics.ts';
import { MissingTables } from './missing-tables.ts';
import { hostNamed, namesakesOf } from './namesakes.ts';
import { Notices } from './notices.ts';
import type { FelixConfig } from './option-table.ts';
import { Outputs } from './outputs.ts';
import { renderOptions } from './render-options.ts';
import { type ReservationKeeper, startReservationKeeper } from './reservations.ts';
import type { SettingsKeeper } from './settings.ts';
import { Sharing } from './sharing/sharing.ts';
import type { Stamping } from './stamping.ts';
import { type Statuses, startStatuses } from './status/statuses.ts';
import type { createTakeOver, TakeOver } from './takeover/takeover.ts';

const startedAtMs = Date.now() - performance.now();

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
  readonly #outputs: Outputs;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #metrics;
  readonly #notices: Notices;
  readonly #calculation;
  readonly #programming: Loop;
  readonly #reservations: ReservationKeeper;
  readonly #hostInterfaces: HostInterfaces;
  readonly #missingTables: MissingTables;
  readonly #guests: Guests;
  readonly #following: Following;
  readonly #fail = Promise.withResolvers<never>();
  readonly #closing: (() => void)[] = [];
  #programmed: Programmed | undefined;
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
    this.#log = log;
    this.#clock = clock;
    const { config } = keeper.settings;
    this.#metrics = createMetrics(config.FelixHostname, {
      calculation: () => this.#calculation.counts(),
      tables: () => ({ inet: kernel.tables.inet.counts(), arp: kernel.tables.arp.counts() }),
      routes: () => this.#programmed?.devices.counts(),
    });
    this.#outputs = new Outputs(output, this.#metrics.registry);
    this.#notices = new Notices(log, this.#metrics);
    this.#hostInterfaces = new HostInterfaces(
      kernel.links,
      (name) => shaperRights.isOurIfb(name) || keeper.settings.config.InterfacePrefix.some((prefix) => name.startsWith(prefix)),
    );
    this.#dataplane = createDataplane(kernel.tables, this.#renderOptions(), (rejected) => this.#notices.rejected(rejected));
    this.#missingTables = new MissingTables({
      dataplane: this.#dataplane,
      stamping,
      anotherPolices: another.polices,
      interfacePrefixes: () => keeper.settings.config.InterfacePrefix,
      log,
    });
    if (!another.policedAtStart) this.#missingTables.makeClosed();
    this.#calculation = createPolicyCalculation({ host: config.FelixHostname, allowSourceSpoofing: config.WorkloadSourceSpoofing === 'Any' });
    this.#programming = startLoop({
      run: () => this.#takeAndProgram(),
      onFailure: (error, failures, retryMs) => this.#reportFailure(error, failures, retryMs),
      clock,
    });
    this.#guests = new Guests(kernel, log, () => this.#programming.wake());
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
    this.#outputs.configure(config);
    this.#following = this.#follow();
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
      health: this.#outputs.health,
      log: this.#log,
      onGone: noteStrangers,
    });
    onForeignRules(noteStrangers);
    // Another Felix's rules may have gone after they were found and before changes were reported.
    if (this.#missingTables.areAny) noteStrangers();
    return takeOver;
  }

  /** @param changes undefined when the kernel had to drop reports */
  #settingsChanged(changes: readonly NetconfChange[] | undefined): void {
    const ofHost = changes?.some(({ link }) => link === 'all') ?? true;
    const ofDevices = changes?.filter((change) => this.#programmed?.devices.settingsChanged(change)) ?? [];
    if (ofHost) this.#kernel.settings.doubt();
    if (ofHost || ofDevices.length > 0) this.#programming.wake();
  }

  #follow(): Following {
    return new Following({
      etcd: this.#etcd,
      metrics: this.#metrics,
      notices: this.#notices,
      component: this.#outputs.components.calculation,
      log: this.#log,
      clock: this.#clock,
      update: (key, value) => {
        if (this.#keeper.update(key, value)) this.#settingsDirty = true;
        this.#calculation.update(key, value);
      },
      onChange: () => this.#programming.wake(),
      onInSync: () => this.#warnOfNamesakes(),
    });
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
    if (this.#following.takePortion()) this.#programming.wake();
    const restMs = this.#program();
    this.#following.noteTook(this.#clock.steadyMs() - startMs);
    return restMs;
  }

  /** Programs the changes that have been processed. Returns after how many milliseconds the next run begins at the latest. */
  #program(): number | undefined {
    if (this.#following.inSync && this.#settingsDirty) this.#refreshSettings();
    const { ready, config } = this.#keeper.settings;
    if (this.#comparisons.strangersChangedRules) this.#missingTables.putBack(this.#programmed !== undefined);
    if (!this.#following.inSync || !ready) {
      const detail = this.#following.inSync ? 'spec.datastoreReady of ClusterInformation default is not true' : 'the datastore has not been read';
      this.#outputs.components.dataplane.report({ live: true, ready: false, detail });
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
    this.#guests.hearAwaited(devices);
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
    this.#outputs.components.startup.report({ live: true, ready: true });
    this.#outputs.components.dataplane.report({ live: true, ready: true });
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
  #calculate({ sharing }: Programmed, config: FelixConfig): readonly DesiredChange[] {
    const changes: DesiredChange[] = [];
    let holders = sharing.takeChanged();
    do {
      if (holders) this.#calculation.setHolders(holders);
      const change = this.#calculation.flush();
      this.#notices.change(change);
      this.#metrics.noteChange(change);
      this.#noteSharing(sharing, change.workloads, config);
      this.#dataplane.note(change, this.#hostInterfaces.take(change.hostEndpoints, this.#clock.steadyMs()));
      changes.push(change);
      holders = sharing.takeChanged();
    } while (holders);
    return changes;
  }

  #noteSharing(sharing: Sharing, workloads: DesiredChange['workloads'], { SharedAddressPairs }: FelixConfig): void {
    sharing.note(workloads, SharedAddressPairs === 'Follow', (id) => this.#dataplane.workloads.get(id)?.routed);
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
    this.#dataplane.begin(devices, earlier.led);
    this.#guests.answerForGateways(devices);
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
    this.#outputs.configure(settings.config);
    this.#calculation.setOptions({ allowSourceSpoofing: settings.config.WorkloadSourceSpoofing === 'Any' });
    this.#connections.noteAll();
    this.#stamping.want(renderOptions(settings.config).stamps);
    this.#hostInterfaces.linksChanged();
    this.#dataplane.setOptions(this.#renderOptions());
    this.#programmed?.devices.setSettings(this.#deviceSettings(settings.config));
    if (this.#programmed) this.#noteSharing(this.#programmed.sharing, this.#dataplane.workloads, settings.config);
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

  #reportFailure(error: unknown, failures: number, retryMs: number): void {
    this.#metrics.dataplaneFailures.inc();
    this.#outputs.components.dataplane.report({ live: true, ready: false, detail: (error as Error).message });
    this.#log.error(
      { err: error, failures, retryMs: Math.round(retryMs) },
      'cannot program the kernel; it keeps the former rules and routes, and the change is retried after a pause; see the error for the object that the kernel refuses',
    );
  }

  /** Ends the agent's work. Its rules, routes and statuses stay. */
  async close(): Promise<void> {
    await this.#programming.close();
    await this.#takeOver.close();
    await this.#foreignChains.close();
    await this.#programmed?.sharing.close();
    await this.#programmed?.statuses.close();
    await this.#outputs.close();
    this.#following.close();
    for (const close of this.#closing.reverse()) close();
    this.#guests.close();
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
