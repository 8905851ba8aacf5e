// Decides how the workloads of live migrations are routed on the hosts that they leave and arrive at. Pure.
//
//     role target      a frame of the guest     role none            LiveMigrationRouteConvergenceTime later
//         │                     │                    │                              │
//     awaited ────────────► arrived ───────────► settling ─────────────────────► normal
//     no routes             elevated routes      elevated routes                 normal routes
//
// The state `awaited` also becomes `settling` when Neutron activates the port before a frame is received. With the role `source` any state becomes `leaving`: this host keeps
// routes that lose to the other host's, and drops packets silently after the tap has gone.
import type { WorkloadId } from '@calico-openstack/datamodel';
import type { WorkloadDevice } from '@calico-openstack/render';

/**
 * A device with its way of routing. With `held` it has no routes, because the workload still runs elsewhere; `routes` is empty then. With `elevated` its routes have the metric that wins
 * over the route of the host that the workload has left. With `leaving` its routes lose to those of the host that the workload moves to, and it has blackholes beside them. The blackholes take over when the kernel removes the routes
 * with the tap, so that senders get no ICMP error that the addresses are unreachable.
 */
export type PlacedDevice = WorkloadDevice & { readonly routing: 'normal' | 'elevated' | 'held' | 'leaving' };

type Arrival = {
  readonly device: WorkloadDevice;
  readonly state: 'awaited' | 'arrived' | 'settling';
  /** Whether a frame of the guest was received. */
  readonly heard: boolean;
  /** When the state `settling` ends. */
  readonly untilMs: number;
};

type Changes<Device> = ReadonlyMap<WorkloadId, Device | undefined>;

/** The workloads that arrive at this host, or have just arrived. */
export class Arrivals {
  readonly #arrivals = new Map<WorkloadId, Arrival>();
  /** The arrivals whose routing has changed since the last `place`. */
  readonly #turned = new Set<WorkloadId>();
  /** The interfaces that had elevated routes when this process started, until the first `place`. */
  #earlier: ReadonlySet<string>;

  /** @param earlier the interfaces with elevated routes of an earlier run. Their workloads have arrived already, so that a restart withdraws nothing */
  constructor(earlier: ReadonlySet<string>) {
    this.#earlier = earlier;
  }

  /**
   * Adds the way of routing to devices that have changed. The result also has the devices whose way has changed.
   * @param convergenceMs for how long the routes stay elevated after the role of the target has ended
   */
  place(changes: Changes<WorkloadDevice>, nowMs: number, convergenceMs: number): Changes<PlacedDevice> {
    for (const [id, { state, untilMs }] of this.#arrivals) if (state === 'settling' && untilMs <= nowMs) this.#turned.add(id);
    const placed = new Map<WorkloadId, PlacedDevice | undefined>();
    for (const id of this.#turned) {
      if (changes.has(id)) continue;
      const { device } = this.#arrivals.get(id)!;
      placed.set(id, this.#placeOne(id, device, nowMs, convergenceMs));
    }
    this.#turned.clear();
    for (const [id, device] of changes) {
      if (!device) this.#arrivals.delete(id);
      placed.set(id, device && this.#placeOne(id, device, nowMs, convergenceMs));
    }
    this.#earlier = new Set();
    return placed;
  }

  /** Notes that a frame of a workload's guest was received on its interface. Returns whether that changes how it is routed. */
  hear(id: WorkloadId): boolean {
    const arrival = this.#arrivals.get(id);
    if (!arrival || arrival.heard) return false;
    this.#arrivals.set(id, { ...arrival, heard: true, state: arrival.state === 'awaited' ? 'arrived' : arrival.state });
    if (arrival.state === 'awaited') this.#turned.add(id);
    return arrival.state === 'awaited';
  }

  /** Whether a workload is awaited. */
  get areAnyAwaited(): boolean {
    return [...this.#arrivals.values()].some(({ state }) => state === 'awaited');
  }

  /** After how many milliseconds the way of routing changes by itself; undefined when it does not. */
  restMs(nowMs: number): number | undefined {
    const ends = [...this.#arrivals.values()].filter(({ state }) => state === 'settling').map(({ untilMs }) => untilMs);
    return ends.length === 0 ? undefined : Math.max(0, Math.min(...ends) - nowMs);
  }

  #placeOne(id: WorkloadId, device: WorkloadDevice, nowMs: number, convergenceMs: number): PlacedDevice {
    const arrival = this.#next(id, device, nowMs, convergenceMs);
    if (!arrival) {
      this.#arrivals.delete(id);
      return { ...device, routing: device.liveMigrationRole === 'source' ? 'leaving' : 'normal' };
    }
    this.#arrivals.set(id, arrival);
    return arrival.state === 'awaited' ? { ...device, routes: [], routing: 'held' } : { ...device, routing: 'elevated' };
  }

  #next(id: WorkloadId, device: WorkloadDevice, nowMs: number, convergenceMs: number): Arrival | undefined {
    const known = this.#arrivals.get(id);
    const heard = known?.heard ?? this.#earlier.has(device.interfaceName);
    switch (device.liveMigrationRole) {
      case 'source':
        return undefined;
      case 'target':
        // A target that was settling has been named as a target once more. It keeps its routes only if the guest was heard here.
        return { device, state: heard ? 'arrived' : 'awaited', heard, untilMs: Number.POSITIVE_INFINITY };
      case undefined: {
        if (!known && !heard) return undefined;
        const untilMs = known?.state === 'settling' ? known.untilMs : nowMs + convergenceMs;
        return untilMs > nowMs ? { device, state: 'settling', heard, untilMs } : undefined;
      }
      default:
        return device.liveMigrationRole satisfies never;
    }
  }
}
