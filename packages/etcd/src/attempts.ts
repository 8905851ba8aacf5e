// Decides after each failed attempt of a call whether and when there is another.
import { backoffMs } from '@calico-openstack/agent/backoff';
import type { Clock } from '@calico-openstack/agent/clock';
import { EtcdError, isTransient } from './errors.ts';
import { statusOf } from './status.ts';
import { GrpcError, grpcStatus } from './transport.ts';

/** The inputs on which the attempts of a call depend. */
export type AttemptOptions = {
  /** The call fails after so long without anything of its answer. */
  readonly timeoutMs: number;
  /** Whether the call may be sent twice. */
  readonly repeatable: boolean;
  /** The number of endpoints of the cluster. */
  readonly endpoints: number;
  readonly clock: Pick<Clock, 'steadyMs'>;
  readonly random: () => number;
};

/** The next step after a failed attempt. */
export type NextAttempt =
  /** At once, with a new login. */
  | { readonly renewLogin: true }
  /** After a pause. */
  | { readonly renewLogin: false; readonly pauseMs: number };

/** The attempts of one call. */
export class Attempts {
  readonly #options: AttemptOptions;
  #deadlineMs: number;
  #startedWithMs = 0;
  #failures = 0;
  #reason: unknown;
  #loginRenewed = false;

  constructor(options: AttemptOptions) {
    this.#options = options;
    this.#deadlineMs = options.clock.steadyMs() + options.timeoutMs;
  }

  /** The steady time at which the call fails. */
  get deadlineMs(): number {
    return this.#deadlineMs;
  }

  /** Extends the deadline: an answer may take any time as long as pieces of it arrive. */
  heard(): void {
    this.#deadlineMs = this.#options.clock.steadyMs() + this.#options.timeoutMs;
  }

  /** Begins an attempt. */
  begin(): void {
    this.#startedWithMs = this.#restMs;
  }

  /** How long this attempt may wait for its answer. A repeatable call leaves time for another endpoint when this one is silent. */
  get patienceMs(): number {
    const { repeatable, endpoints } = this.#options;
    return repeatable && endpoints > 1 ? Math.max(this.#restMs / 2, Math.min(this.#restMs, 1_000)) : this.#restMs;
  }

  /**
   * Says what follows the failure of the attempt.
   * @param wasSent whether etcd may have got the request
   * @throws the error that the call rejects with, when there is no other attempt
   */
  next(error: unknown, wasSent: boolean): NextAttempt {
    // UNAUTHENTICATED: the token has expired, or the member that gave it was restarted. INVALID_ARGUMENT: users were changed meanwhile, which meets clients known by a certificate
    // too; it means much else as well, so this is retried only once. Neither call was carried out.
    const status = grpcStatusOf(error);
    if (wasSent && !this.#loginRenewed && (status === grpcStatus.UNAUTHENTICATED || status === grpcStatus.INVALID_ARGUMENT)) {
      this.#loginRenewed = true;
      return { renewLogin: true };
    }
    const { repeatable, endpoints, timeoutMs, random } = this.#options;
    if (!isTransient(error) || (wasSent && !repeatable)) throw error;
    this.#failures += 1;
    // An attempt that had only a little time left fails for want of time. The error of the attempt before it says why etcd cannot be reached.
    const cutShort = (!wasSent && this.#restMs <= 1) || this.#startedWithMs < timeoutMs / 5;
    if (!cutShort || this.#reason === undefined) this.#reason = error;
    const pauseMs = this.#failures < endpoints ? 0 : backoffMs({ firstMs: 100, maxMs: 1_000 }, this.#failures - endpoints + 1, random);
    if (this.#restMs <= pauseMs + 1) throw this.#reason;
    return { renewLogin: false, pauseMs };
  }

  get #restMs(): number {
    return this.#deadlineMs - this.#options.clock.steadyMs();
  }
}

/** The gRPC status behind an error; undefined when there is none. */
export function grpcStatusOf(error: unknown): number | undefined {
  return error instanceof EtcdError && error.cause instanceof GrpcError ? statusOf(error.cause) : undefined;
}
