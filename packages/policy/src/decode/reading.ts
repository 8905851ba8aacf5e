// What a value of the datastore came to: its meaning as far as it is understood, and what is not.
import { decodeResource, type Resource } from '@calico-openstack/datamodel';

/** `value` is undefined when the resource counts as absent. */
export type Reading<T> = { readonly value: T | undefined; readonly defects: readonly string[] };

/** What is said of a value at which a reader of ours threw. */
export const faultOf = (error: unknown): string => `made its reader fail, by a fault of ours (${(error as Error).message}); please report it with the value`;

/**
 * Reads a resource whose envelope must be sound; `read` says what its content means and complains of what it does not understand. Should it throw, by a fault of ours, the
 * resource counts as absent.
 */
export function readResource<T>(bytes: Uint8Array, read: (resource: Resource, complain: (reason: string) => void) => T | undefined): Reading<T> {
  const resource = decodeResource(bytes);
  if (!resource.ok) return { value: undefined, defects: [resource.reason] };
  const defects: string[] = [];
  try {
    return { value: read(resource.value, (reason) => defects.push(reason)), defects };
  } catch (error) {
    return { value: undefined, defects: [`${faultOf(error)}; it counts as absent`] };
  }
}
