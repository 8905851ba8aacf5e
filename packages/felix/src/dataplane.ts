// The one owner of our two nft tables, and a step from what the datastore says to what the kernel holds: what changed is rendered and committed, first the rules, then the
// routes, so that nothing is reachable before it is policed.
//
//     closed ──────────── begin(devices) ────────────► programmed
//     until the datastore is known: nothing passes     note … step, note … step: the kernel follows the datastore
//     from or to a workload interface
import { familyOf, type IpAddress } from '@calico-openstack/addresses';
import { type DesiredChange, type EndpointStatus, type LocalWorkload, noChange, type WorkloadId } from '@calico-openstack/datamodel';
import type { ApplyReport, OpenTable } from '@calico-openstack/kernel';
import {
  addressElement,
  applyEdits,
  baseTables,
  leavingAddresses,
  type RejectedEdit,
  Renderer,
  type RenderOptions,
  type TableEdits,
  type TableName,
  type WorkloadDevice,
} from '@calico-openstack/render';
import type { Devices } from './devices.ts';

/** Our tables in the kernel. Nobody but the dataplane says what is wanted in them, or commits it. */
export type Tables = Readonly<Record<TableName, OpenTable>>;

/** How a workload is, as far as it is known here. */
export type WorkloadStatus = { readonly workload: LocalWorkload; readonly status: EndpointStatus; readonly reason?: string };

export type StepReport = {
  readonly tables: Readonly<Record<TableName, ApplyReport>>;
  /** Whose status may be another now; undefined: gone. */
  readonly statuses: ReadonlyMap<WorkloadId, WorkloadStatus | undefined>;
  /** The kernel refused something of a device: worth another try after a pause. */
  readonly retry: boolean;
  /** Addresses that no longer lead where they led: their connections are to be cut, and they released. */
  readonly left: readonly IpAddress[];
};

export const tableNames: readonly TableName[] = ['inet', 'arp'];

export interface Dataplane {
  /**
   * Before the datastore is known: where no earlier run has left its rules (after a boot), nothing may pass from or to a workload interface. Rules of an earlier run stay:
   * the running workloads live by them. Returns the tables that were made.
   */
  closeWhatIsOpen(): readonly TableName[];
  /** The datastore is known: from now on changes are noted, and steps make the kernel's so. What an earlier run has left is compared with what is wanted by the first step. */
  begin(devices: Devices): void;
  setOptions(options: RenderOptions): void;
  /** Notes a change; the kernel is not touched. */
  note(change: DesiredChange): void;
  /** Makes the kernel's what was noted, but for routes of addresses that left. Throws when the rules could not be committed: then nothing else of the step was done, and the next one tries all of it again. */
  step(): StepReport;
  /** The connections of these addresses are cut. */
  release(addresses: readonly IpAddress[]): void;
  /** They cannot be cut yet. */
  hold(addresses: readonly IpAddress[], reason: string): void;
  distrustTables(): void;
  /** Which of our tables somebody else has taken away. */
  missingTables(): readonly TableName[];
  /** Makes these tables again, as they were wanted last. */
  putBack(missing: readonly TableName[]): void;
  readonly workloads: ReadonlyMap<WorkloadId, LocalWorkload>;
}

/** @param onRejected what the renderer wants and the rules cannot say: a fault of this program, told loudly; it stays closed */
export function createDataplane(tables: Tables, options: RenderOptions, onRejected: (rejected: RejectedEdit) => void): Dataplane {
  return new HostDataplane(tables, options, onRejected);
}

class HostDataplane implements Dataplane {
  readonly #tables: Tables;
  readonly #onRejected: (rejected: RejectedEdit) => void;
  #options: RenderOptions;
  /** What programs the kernel, once the datastore is known. */
  #programming: { readonly renderer: Renderer; readonly devices: Devices } | undefined;
  readonly workloads = new Map<WorkloadId, LocalWorkload>();
  /** What the renderer has said of devices since the last step. */
  #waiting = new Map<WorkloadId, WorkloadDevice | undefined>();
  /** Since the last step that came to its end: endpoints that changed, endpoints that are gone, and addresses that left. */
  readonly #changed = new Set<WorkloadId>();
  readonly #gone = new Set<WorkloadId>();
  readonly #left = new Set<IpAddress>();

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

  begin(devices: Devices): void {
    const renderer = new Renderer(this.#options);
    this.#programming = { renderer, devices };
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

  note(change: DesiredChange): void {
    const { renderer } = this.#begun();
    for (const [id, workload] of change.workloads) {
      if (workload) this.workloads.set(id, workload);
      else this.workloads.delete(id);
    }
    const programmable = [...change.workloads].map(([id, workload]) => [id, workload && this.#isPoliced(workload) ? workload : undefined] as const);
    const rendering = renderer.render({ ...change, workloads: new Map(programmable) });
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
    const tables = { inet: this.#tables.inet.apply(), arp: this.#tables.arp.apply() };
    const { changed, retry } = devices.apply();
    const report = { tables, statuses: this.#statusesOf(changed), retry, left: [...this.#left] };
    this.#gone.clear();
    this.#changed.clear();
    this.#left.clear();
    return report;
  }

  release(addresses: readonly IpAddress[]): void {
    for (const address of addresses) this.#tables.inet.removeElements(leavingAddresses(familyOf(address)), [addressElement(address)]);
    this.#begun().devices.release(addresses);
  }

  hold(addresses: readonly IpAddress[], reason: string): void {
    this.#begun().devices.hold(addresses, reason);
  }

  distrustTables(): void {
    for (const name of tableNames) this.#tables[name].distrust();
  }

  missingTables(): readonly TableName[] {
    return tableNames.filter((name) => !this.#tables[name].exists());
  }

  putBack(missing: readonly TableName[]): void {
    if (!this.#programming) this.#wantClosed(missing);
    for (const name of missing) {
      this.#tables[name].distrust();
      this.#tables[name].apply();
    }
  }

  /** A table that is there is left as an earlier run wanted it. */
  #wantClosed(names: readonly TableName[]): void {
    const base = baseTables(this.#options);
    this.#edit({ inet: names.includes('inet') ? base.inet : [], arp: names.includes('arp') ? base.arp : [] });
  }

  #begun(): { readonly renderer: Renderer; readonly devices: Devices } {
    if (!this.#programming) throw new Error('a fault of Felix: the dataplane was used before the datastore was known');
    return this.#programming;
  }

  #edit(edits: TableEdits): void {
    applyEdits(this.#tables, edits).forEach(this.#onRejected);
  }

  /** Hands on what the renderer has said of devices. That an address leaves is in our table with the same commit: should this run end before its connections are cut, the next one cuts them. */
  #noteDevices(devices: Devices): void {
    for (const address of devices.update(this.#waiting)) {
      this.#left.add(address);
      this.#tables.inet.addElements(leavingAddresses(familyOf(address)), [addressElement(address)]);
    }
    for (const id of this.#waiting.keys()) this.#changed.add(id);
    this.#waiting = new Map();
  }

  /** Whose status may be another after a step. @param changed what the devices say */
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

  /** Why nothing is programmed for it, though it is wanted here. */
  #obstacleOf(workload: LocalWorkload): string | undefined {
    const { shadowedBy, interfaceName } = workload;
    if (shadowedBy) return `${shadowedBy} has the interface ${interfaceName}`;
    if (!this.#isPoliced(workload))
      return `no beginning in InterfacePrefix (${this.#options.interfacePrefixes.join(',')}) fits its interface ${interfaceName}, so that nothing would police it`;
    return undefined;
  }
}
