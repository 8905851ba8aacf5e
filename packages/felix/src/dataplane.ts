// Owns our two nftables tables, and brings the kernel from one desired state to the next. A step commits the rules first and then the routes, so that nothing is reachable before it is
// policed.
//
//     closed ──────────── begin(devices) ────────────► programmed
//     until the datastore is known, nothing passes     note … step, note … step: the kernel follows the datastore
//     from or to a workload interface
import { type Cidr, familyOf, type IpAddress } from '@calico-openstack/addresses';
import { type DesiredChange, type EndpointStatus, type LocalHostEndpoint, type LocalWorkload, noChange, type WorkloadId } from '@calico-openstack/datamodel';
import type { ApplyReport, OpenTable } from '@calico-openstack/kernel';
import {
  addressElement,
  applyEdits,
  baseTables,
  leavingAddresses,
  policingChains,
  type RejectedEdit,
  Renderer,
  type RenderOptions,
  type TableEdit,
  type TableEdits,
  type TableName,
  type WorkloadDevice,
} from '@calico-openstack/render';
import type { Devices } from './devices.ts';
import { NewSources } from './new-sources.ts';

/** Our tables in the kernel. Only the dataplane edits and commits them. */
export type Tables = Readonly<Record<TableName, OpenTable>>;

/** The status of a workload, with a reason for people when it is `error`. */
export type WorkloadStatus = { readonly workload: LocalWorkload; readonly status: EndpointStatus; readonly reason?: string };

/** The result of a step. */
export type StepReport = {
  readonly tables: Readonly<Record<TableName, ApplyReport>>;
  /** The statuses that may have changed; undefined for a workload that is gone. */
  readonly statuses: ReadonlyMap<WorkloadId, WorkloadStatus | undefined>;
  /** Whether the kernel refused something of a device that may succeed after a pause. */
  readonly retry: boolean;
  /** The addresses that no longer lead to the same interface. Whoever gets this must cut their connections, and then `release` them. */
  readonly left: readonly IpAddress[];
};

/** The families of our two tables. */
export const tableNames: readonly TableName[] = ['inet', 'arp'];

/** The tables and devices of this host. */
export interface Dataplane {
  /**
   * For the time before the datastore is known. Creates each missing table of ours (after a boot) so that nothing passes from or to a workload interface. Tables of an earlier run
   * stay as they are, because running workloads depend on them. Returns the tables that were created.
   */
  closeWhatIsOpen(): readonly TableName[];
  /** Ends the closed state, because the datastore is known. The first step then compares what an earlier run has left with the desired state. @param led the interfaces that addresses led to in an earlier run */
  begin(devices: Devices, led: ReadonlyMap<Cidr, string>): void;
  /** Replaces the options of the renderer. */
  setOptions(options: RenderOptions): void;
  /**
   * Renders a change for the next step. The kernel is not touched.
   * @param interfaces the host endpoint that governs an interface now, by the interface's name or `*`; only those that changed
   */
  note(change: DesiredChange, interfaces?: ReadonlyMap<string, LocalHostEndpoint | undefined>): void;
  /**
   * Programs the kernel with all that was noted, except routes of addresses that are leaving.
   * @throws NftablesError, NetlinkError when the rules could not be committed. Nothing else of the step was done then, and the next step does all of it.
   */
  step(): StepReport;
  /** Says that the connections of these addresses have been cut. */
  release(addresses: readonly IpAddress[]): void;
  /** Says why the connections of these addresses cannot be cut yet. */
  hold(addresses: readonly IpAddress[], reason: string): void;
  /** Lets the next step compare the tables with the kernel as a whole. */
  distrustTables(): void;
  /** The tables of ours that the kernel does not have, or that decide nothing there. */
  missingTables(): readonly TableName[];
  /** Creates these tables again with their last desired content. */
  putBack(missing: readonly TableName[]): void;
  /** The workloads of this host as the datastore has them. */
  readonly workloads: ReadonlyMap<WorkloadId, LocalWorkload>;
}

/** A dataplane in the closed state. @param onRejected called with each edit that the tables cannot express, which is a fault of this program; the packets concerned are dropped */
export function createDataplane(tables: Tables, options: RenderOptions, onRejected: (rejected: RejectedEdit) => void): Dataplane {
  return new HostDataplane(tables, options, onRejected);
}

class HostDataplane implements Dataplane {
  readonly #tables: Tables;
  readonly #onRejected: (rejected: RejectedEdit) => void;
  #options: RenderOptions;
  /** Undefined in the closed state. */
  #programming: { readonly renderer: Renderer; readonly devices: Devices } | undefined;
  readonly workloads = new Map<WorkloadId, LocalWorkload>();
  /** The chains of hooks of the tables that did not exist when the datastore was read, until the first step. */
  #waitingHooks: { readonly [Name in TableName]?: TableEdit[] } = {};
  /** The devices that the renderer has changed since the last step. */
  #waiting = new Map<WorkloadId, WorkloadDevice | undefined>();
  /** Endpoints that changed, endpoints that are gone, and addresses that left since the last complete step. */
  readonly #changed = new Set<WorkloadId>();
  readonly #gone = new Set<WorkloadId>();
  readonly #left = new Set<IpAddress>();
  readonly #newSources = new NewSources();

  constructor(tables: Tables, options: RenderOptions, onRejected: (rejected: RejectedEdit) => void) {
    this.#tables = tables;
    this.#options = options;
    this.#onRejected = onRejected;
  }

  closeWhatIsOpen(): readonly TableName[] {
    const missing = this.missingTables();
    if (missing.length > 0) this.putBack(missing);
    return missing;
  }

  begin(devices: Devices, led: ReadonlyMap<Cidr, string>): void {
    this.#newSources.begin(led);
    const renderer = new Renderer(this.#options);
    this.#programming = { renderer, devices };
    this.#waitingHooks = Object.fromEntries(this.missingTables().map((name) => [name, []]));
    this.#edit(renderer.start());
  }

  setOptions(options: RenderOptions): void {
    const policed = new Set([...this.workloads].filter(([, workload]) => this.#isPoliced(workload)).map(([id]) => id));
    this.#options = options;
    if (!this.#programming) return;
    this.#edit(this.#programming.renderer.setOptions(options));
    const turned = [...this.workloads].filter(([id, workload]) => this.#isPoliced(workload) !== policed.has(id));
    if (turned.length > 0) this.note({ ...noChange, workloads: new Map(turned) });
  }

  note(change: DesiredChange, interfaces?: ReadonlyMap<string, LocalHostEndpoint | undefined>): void {
    const { renderer } = this.#begun();
    for (const [id, workload] of change.workloads) {
      if (workload) this.workloads.set(id, workload);
      else this.workloads.delete(id);
    }
    const programmable = [...change.workloads].map(([id, workload]) => [id, workload && this.#isPoliced(workload) ? workload : undefined] as const);
    const rendering = renderer.render({ ...change, workloads: new Map(programmable) }, interfaces);
    this.#edit(rendering.tables);
    for (const [id, device] of rendering.devices) {
      this.#waiting.set(id, device);
      if (this.workloads.has(id)) this.#gone.delete(id);
      else this.#gone.add(id);
    }
  }

  step(): StepReport {
    const { devices } = this.#begun();
    this.#noteDevices(devices);
    this.#allowNewSources();
    for (const name of tableNames) if (this.#waitingHooks[name]) this.#tables[name].apply();
    this.#hook();
    const tables = { inet: this.#tables.inet.apply(), arp: this.#tables.arp.apply() };
    const { changed, retry } = devices.apply();
    const report = { tables, statuses: this.#statusesOf(changed), retry, left: [...this.#left] };
    this.#gone.clear();
    this.#changed.clear();
    this.#left.clear();
    return report;
  }

  release(addresses: readonly IpAddress[]): void {
    for (const address of addresses) {
      this.#tables.inet.removeElements(leavingAddresses(familyOf(address)), [addressElement(address)]);
      this.#newSources.release(address);
    }
    this.#begun().devices.release(addresses);
  }

  hold(addresses: readonly IpAddress[], reason: string): void {
    this.#begun().devices.hold(addresses, reason);
  }

  distrustTables(): void {
    for (const name of tableNames) this.#tables[name].distrust();
  }

  missingTables(): readonly TableName[] {
    return tableNames.filter((name) => !this.#tables[name].hasRules(policingChains[name]));
  }

  putBack(missing: readonly TableName[]): void {
    if (!this.#programming) this.#wantClosed(missing);
    this.#hook();
    for (const name of missing) {
      this.#tables[name].distrust();
      this.#tables[name].apply();
    }
  }

  /** Desires the closed state for these tables. Nothing is desired of the others, so that they stay as an earlier run left them. */
  #wantClosed(names: readonly TableName[]): void {
    const base = baseTables(this.#options);
    this.#edit({ inet: names.includes('inet') ? base.inet : [], arp: names.includes('arp') ? base.arp : [] });
  }

  #begun(): { readonly renderer: Renderer; readonly devices: Devices } {
    if (!this.#programming) throw new Error('a fault of Felix: the dataplane was used before the datastore was known');
    return this.#programming;
  }

  #edit(edits: TableEdits): void {
    const isHook = (edit: TableEdit): boolean => edit.edit === 'set-chain' && edit.chain.hook !== undefined;
    const now = { ...edits, inet: edits.inet.filter((edit) => !this.#newSources.holdsBack(edit)) };
    for (const name of tableNames) {
      const waiting = this.#waitingHooks[name];
      if (!waiting) continue;
      waiting.push(...now[name].filter(isHook));
      now[name] = now[name].filter((edit) => !isHook(edit));
    }
    applyEdits(this.#tables, now).forEach(this.#onRejected);
  }

  #allowNewSources(): void {
    applyEdits(this.#tables, { inet: this.#newSources.take(), arp: [] }).forEach(this.#onRejected);
  }

  /**
   * Lets the hooks of tables that did not exist lead to them. While the kernel commits a new table, its sets of ranges are empty for a millisecond, and packets that they allow would be
   * lost. So such a table is committed without hooks first. It did not exist because another Felix polices the host until our hooks are there.
   */
  #hook(): void {
    const waiting = this.#waitingHooks;
    this.#waitingHooks = {};
    this.#edit({ inet: waiting.inet ?? [], arp: waiting.arp ?? [] });
  }

  /**
   * Hands the changed devices on. An address that leaves is written to our table with the same commit, so that the next run cuts its connections if this one ends too early.
   */
  #noteDevices(devices: Devices): void {
    for (const address of devices.update(this.#waiting)) {
      this.#left.add(address);
      this.#newSources.leaves(address);
      this.#tables.inet.addElements(leavingAddresses(familyOf(address)), [addressElement(address)]);
    }
    for (const id of this.#waiting.keys()) this.#changed.add(id);
    this.#waiting = new Map();
  }

  /** The statuses that may have changed by a step. @param changed the report of the devices */
  #statusesOf(changed: ReturnType<Devices['apply']>['changed']): ReadonlyMap<WorkloadId, WorkloadStatus | undefined> {
    const statuses = new Map<WorkloadId, WorkloadStatus | undefined>();
    for (const id of this.#gone) statuses.set(id, undefined);
    for (const id of this.#changed) {
      const workload = this.workloads.get(id);
      const reason = workload && this.#obstacleOf(workload);
      if (reason) statuses.set(id, { workload, status: 'error', reason });
    }
    for (const [id, state] of changed) {
      const workload = this.workloads.get(id);
      if (workload) statuses.set(id, { workload, ...state });
    }
    return statuses;
  }

  #isPoliced({ interfaceName }: LocalWorkload): boolean {
    return this.#options.interfacePrefixes.some((prefix) => interfaceName.startsWith(prefix));
  }

  /** The reason why a workload of this host is not programmed at all; undefined when it is. */
  #obstacleOf(workload: LocalWorkload): string | undefined {
    const { shadowedBy, interfaceName } = workload;
    if (shadowedBy) return `${shadowedBy} has the interface ${interfaceName}`;
    if (!this.#isPoliced(workload))
      return `no prefix in InterfacePrefix (${this.#options.interfacePrefixes.join(',')}) fits its interface ${interfaceName}, so that nothing would police it`;
    return undefined;
  }
}
