// What the contract's tests stand on.
import type { Etcd, KeyValue, Operation } from '../types.ts';

/** One etcd, empty at first, and the means to trouble it. */
export interface World {
  readonly etcd: Etcd;
  /** Another client of the same etcd, never cut off. */
  readonly other: Etcd;
  /** Cuts `etcd` off, or joins it again. */
  cut(): Promise<void>;
  join(): Promise<void>;
  /** Puts an empty etcd in this one's place, for both clients. */
  replace(): Promise<void>;
  /** Lets time pass where it does not pass by itself. */
  pass(seconds: number): Promise<void>;
  close(): Promise<void>;
}

export const text = (found: KeyValue | undefined): string | undefined => found && Buffer.from(found.value).toString();
export const put = (key: string, value: string): Operation => ({ put: key, value });
