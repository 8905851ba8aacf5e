// From what the datastore says to what the kernel holds, one step at a time: what changed is calculated, rendered, committed; first the rules, then the routes, so that nothing is reachable before it is policed.
import type { DesiredChange, EndpointStatus, IpAddress, LocalWorkload, WorkloadId } from '@calico-openstack/datamodel';
import type { ApplyReport, TableProgrammer } from '@calico-openstack/kernel';
import { applyEdits, type RejectedEdit, Renderer, type RenderOptions, type TableEdits, type TableName, type WorkloadDevice } from '@calico-openstack/render';
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
  /** Addresses that no longer lead where they led. */
  readonly left: readonly IpAddress[];
};

const tableNames: readonly TableName[] = ['inet', 'arp'];

export interface Dataplane {
  setOptions(options: RenderOptions): void;
  /** Notes a change; the kernel is not touched. */
  note(change: DesiredChange): void;
  /** Makes the kernel's what was noted. Throws when the rules could not be committed: then nothing else of the step was done, and the next one tries all of it again. */
  step(): StepReport;
  /** Whether a step may have something to do. */
  readonly dirty: boolean;
  distrustTables(): void;
  readonly workloads: ReadonlyMap<WorkloadId, LocalWorkload>;
}

/** @param onRejected what the renderer wants and the rules cannot say: a fault of this program, told loudly; it stays closed */
export function createDataplane(tables: Tables, devices: Devices, initial: RenderOptions, onRejected: (rejected: RejectedEdit) => void): Dataplane {
  const renderer = new Renderer(initial);
  const workloads = new Map<WorkloadId, LocalWorkload>();
  let waiting = new Map<WorkloadId, WorkloadDevice | undefined>();
  const gone = new Set<WorkloadId>();
  const edit = (edits: TableEdits): void => applyEdits(tables, edits).forEach(onRejected);
  edit(renderer.start());

  return {
    workloads,
    setOptions: (options) => edit(renderer.setOptions(options)),
    note(change) {
      for (const [id, workload] of change.workloads) {
        if (workload) workloads.set(id, workload);
        else workloads.delete(id);
      }
      const rendering = renderer.render(change);
      edit(rendering.tables);
      for (const [id, device] of rendering.devices) {
        waiting.set(id, device);
        if (workloads.has(id)) gone.delete(id);
        else gone.add(id);
      }
    },
    get dirty() {
      return waiting.size > 0 || devices.dirty || tableNames.some((name) => tables[name].dirty);
    },
    step() {
      const reports = { inet: tables.inet.apply(), arp: tables.arp.apply() };
      const changes = waiting;
      waiting = new Map();
      devices.update(changes);
      const { changed, retry, left } = devices.apply();
      const statuses = new Map<WorkloadId, WorkloadStatus | undefined>();
      for (const id of gone) statuses.set(id, undefined);
      gone.clear();
      for (const id of changes.keys()) {
        const workload = workloads.get(id);
        if (workload?.shadowedBy) statuses.set(id, { workload, status: 'error', reason: `${workload.shadowedBy} has the interface ${workload.interfaceName}` });
      }
      for (const [id, state] of changed) {
        const workload = workloads.get(id);
        if (workload) statuses.set(id, { workload, ...state });
      }
      return { tables: reports, statuses, retry, left };
    },
    distrustTables() {
      for (const name of tableNames) tables[name].distrust();
    },
  };
}
