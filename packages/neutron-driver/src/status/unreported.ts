// Reports live migrations whose destination has not reported the port. Nova waits for nothing there, so that a VM would move to a host where nobody routes to it, and nobody would know why.
import type { Clock, Logger } from '@calico-openstack/agent';

/** After how long the lack of a report is a problem. Felix reports at once, whether the tap is there or not. */
const patienceMs = 10_000;

type Awaited = { readonly host: string; readonly sinceMs: number; readonly logged: boolean };

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
    const before = this.#byPort.get(port);
    const awaited = before?.host === host ? before : { host, sinceMs: this.#clock.steadyMs(), logged: false };
    const isLate = this.#isLate(awaited);
    this.#byPort.set(port, { ...awaited, logged: awaited.logged || isLate });
    if (isLate)
      this.#log.error(
        { port, host, patienceMs },
        'a VM migrates to a host whose Felix has not reported its port: the VM will have no network there; abort the migration, or see whether calico-felix runs on that host and reaches etcd',
      );
  }

  /** The ports whose reports are late and have to be noted once more: another driver may have seen them. */
  due(): readonly string[] {
    return [...this.#byPort].filter(([, awaited]) => this.#isLate(awaited)).map(([port]) => port);
  }

  /** After how many milliseconds a report is late; undefined when none is awaited. */
  restMs(): number | undefined {
    const awaited = [...this.#byPort.values()].filter(({ logged }) => !logged);
    return awaited.length === 0 ? undefined : Math.max(0, Math.min(...awaited.map(({ sinceMs }) => sinceMs)) + patienceMs - this.#clock.steadyMs());
  }

  #isLate({ sinceMs, logged }: Awaited): boolean {
    return !logged && this.#clock.steadyMs() - sinceMs >= patienceMs;
  }
}
