// The environment of the contract suite's tests.
import type { Etcd, KeyValue, Operation } from '../types.ts';

/** An etcd that is empty at first, and ways to disturb it. */
export interface World {
  readonly etcd: Etcd;
  /** Another client of the same etcd, which is never cut off. */
  readonly other: Etcd;
  /** Cuts `etcd` off, or reconnects it. */
  cut(): Promise<void>;
  join(): Promise<void>;
  /** Replaces etcd by an empty one, for both clients. */
  replace(): Promise<void>;
  /** Advances the fake's clock. A real etcd's time passes by itself. */
  passSeconds(seconds: number): Promise<void>;
  close(): Promise<void>;
}

/** A found value as text. */
export const text = (found: KeyValue | undefined): string | undefined => found && Buffer.from(found.value).toString();
/** A put without a lease. */
export const put = (key: string, value: string): Operation => ({ put: key, value });
