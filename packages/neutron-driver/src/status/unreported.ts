// Reports live migrations whose destination has not reported the port. Nova does not wait for that report, so the VM would move to a host that no route leads to, without any hint why.
import type { Clock, Logger } from '@calico-openstack/agent';

/** After how long a missing report is a problem. Felix reports a port at once, whether its tap exists or not. */
const patienceMs = 10_000;

type Awaited = {
  readonly host: string;
  readonly sinceMs: number;
  /** Whether the report is late, and the log says so. */
  readonly late: boolean;
  /** When the port has to be checked once more, because another driver may have seen the report. */
  readonly lookMs: number;
};

/** The ports that migrate to a host whose Felix has not reported them. */
export class Unreported {
  readonly #log: Pick<Logger, 'error'>;
  readonly #clock: Pick<Clock, 'steadyMs'>;
  readonly #byPort = new Map<string, Awaited>();

  constructor(log: Pick<Logger, 'error'>, clock: Pick<Clock, 'steadyMs'>) {
    this.#log = log;
    this.#clock = clock;
  }

  /**
   * Notes whether the destination has reported the port. Logs, once for each migration, that its report is late.
   * @param host the destination that has not; undefined when it has, or when there is none
   */
  note(port: string, host: string | undefined): void {
    if (host === undefined) {
      this.#byPort.delete(port);
      return;
    }
    const nowMs = this.#clock.steadyMs();
    const before = this.#byPort.get(port);
    const awaited = before?.host === host ? before : { host, sinceMs: nowMs, late: false, lookMs: nowMs + patienceMs };
    const late = nowMs - awaited.sinceMs >= patienceMs;
    this.#byPort.set(port, { ...awaited, late, lookMs: awaited.lookMs > nowMs ? awaited.lookMs : nowMs + patienceMs });
    if (late && !awaited.late)
      this.#log.error(
        { port, host, patienceMs },
        'a VM migrates to a host whose Felix has not reported its port: the VM will have no network there; abort the migration, or see whether calico-felix runs on that host and reaches etcd',
      );
  }

  /** How many reports are late. */
  get late(): number {
    return [...this.#byPort.values()].filter(({ late }) => late).length;
  }

  /** The ports that have to be checked once more now. */
  due(): readonly string[] {
    return [...this.#byPort].filter(([, { lookMs }]) => lookMs <= this.#clock.steadyMs()).map(([port]) => port);
  }

  /** After how many milliseconds the next port has to be checked; undefined when no report is awaited. */
  restMs(): number | undefined {
    if (this.#byPort.size === 0) return undefined;
    return Math.max(0, Math.min(...[...this.#byPort.values()].map(({ lookMs }) => lookMs)) - this.#clock.steadyMs());
  }
}
