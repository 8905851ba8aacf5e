// From what the datastore says to what the kernel holds, one step at a time: what changed is calculated, rendered, committed; first the rules, then the routes, so that nothing is reachable before it is policed.
import { familyOf, type IpAddress } from '@calico-openstack/addresses';
import { type DesiredChange, type EndpointStatus, type LocalWorkload, noChange, type WorkloadId } from '@calico-openstack/datamodel';
import type { ApplyReport, TableProgrammer } from '@calico-openstack/kernel';
import {
  addressElement,
  applyEdits,
  leavingAddresses,
  type RejectedEdit,
  Renderer,
  type RenderOptions,
  type TableEdits,
  type TableName,
  type WorkloadDevice,
} from '@calico-openstack/render';
import type { Devices } from './devices.ts';

export type Tables = Readonly<Record<TableName, TableProgrammer>>;

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

const tableNames: readonly TableName[] = ['inet', 'arp'];

export interface Dataplane {
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
  readonly workloads: ReadonlyMap<WorkloadId, LocalWorkload>;
}

/** @param onRejected what the renderer wants and the rules cannot say: a fault of this program, told loudly; it stays closed */
export function createDataplane(tables: Tables, devices: Devices, initial: RenderOptions, onRejected: (rejected: RejectedEdit) => void): Dataplane {
  const renderer = new Renderer(initial);
  const workloads = new Map<WorkloadId, LocalWorkload>();
  let { interfacePrefixes } = initial;
  let waiting = new Map<WorkloadId, WorkloadDevice | undefined>();
  /** Since the last step that came to its end: endpoints that changed, and addresses that left. */
  const changedIds = new Set<WorkloadId>();
  const left = new Set<IpAddress>();
  const gone = new Set<WorkloadId>();
  const edit = (edits: TableEdits): void => applyEdits(tables, edits).forEach(onRejected);
  edit(renderer.start());

  const isPoliced = ({ interfaceName }: LocalWorkload): boolean => interfacePrefixes.some((prefix) => interfaceName.startsWith(prefix));

  function note(change: DesiredChange): void {
    for (const [id, workload] of change.workloads) {
      if (workload) workloads.set(id, workload);
      else workloads.delete(id);
    }
    const programmable = [...change.workloads].map(([id, workload]) => [id, workload && isPoliced(workload) ? workload : undefined] as const);
    const rendering = renderer.render({ ...change, workloads: new Map(programmable) });
    edit(rendering.tables);
    for (const [id, device] of rendering.devices) {
      waiting.set(id, device);
      if (workloads.has(id)) gone.delete(id);
      else gone.add(id);
    }
  }

  /** Why nothing is programmed for it, though it is wanted here. */
  function obstacleOf(workload: LocalWorkload): string | undefined {
    const { shadowedBy, interfaceName } = workload;
    if (shadowedBy) return `${shadowedBy} has the interface ${interfaceName}`;
    if (!isPoliced(workload))
      return `no beginning in InterfacePrefix (${interfacePrefixes.join(',')}) fits its interface ${interfaceName}, so that nothing would police it`;
    return undefined;
  }

  return {
    workloads,
    setOptions(options) {
      const policed = new Set([...workloads].filter(([, workload]) => isPoliced(workload)).map(([id]) => id));
      interfacePrefixes = options.interfacePrefixes;
      edit(renderer.setOptions(options));
      const turned = [...workloads].filter(([id, workload]) => isPoliced(workload) !== policed.has(id));
      if (turned.length > 0) note({ ...noChange, workloads: new Map(turned) });
    },
    note,
    step() {
      for (const address of devices.update(waiting)) {
        left.add(address);
        tables.inet.addElements(leavingAddresses(familyOf(address)), [addressElement(address)]);
      }
      for (const id of waiting.keys()) changedIds.add(id);
      waiting = new Map();
      const reports = { inet: tables.inet.apply(), arp: tables.arp.apply() };
      const { changed, retry } = devices.apply();
      const statuses = new Map<WorkloadId, WorkloadStatus | undefined>();
      for (const id of gone) statuses.set(id, undefined);
      gone.clear();
      for (const id of changedIds) {
        const workload = workloads.get(id);
        const reason = workload && obstacleOf(workload);
        if (reason) statuses.set(id, { workload, status: 'error', reason });
      }
      for (const [id, state] of changed) {
        const workload = workloads.get(id);
        if (workload) statuses.set(id, { workload, ...state });
      }
      const report = { tables: reports, statuses, retry, left: [...left] };
      changedIds.clear();
      left.clear();
      return report;
    },
    release(addresses) {
      for (const address of addresses) tables.inet.removeElements(leavingAddresses(familyOf(address)), [addressElement(address)]);
      devices.release(addresses);
    },
    hold: (addresses, reason) => devices.hold(addresses, reason),
    distrustTables() {
      for (const name of tableNames) tables[name].distrust();
    },
  };
}
