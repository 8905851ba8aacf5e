// The result of decoding a datastore value: its meaning as far as it is understood, and what is not understood.
import { decodeResource, type Resource } from '@calico-openstack/datamodel';

/** A decoded value. `value` is undefined when the resource counts as absent; `defects` are phrases that say what is not understood. */
export type Reading<T> = { readonly value: T | undefined; readonly defects: readonly string[] };

/** The defect of a value whose decoding threw: a fault of ours. */
export const faultOf = (error: unknown): string => `made its reader fail, by a fault of ours (${(error as Error).message}); please report it with the value`;

/**
 * Decodes a resource. A value whose envelope (metadata, spec) is not sound counts as absent.
 * @param read returns the meaning of the content, and calls `complain` for each thing that it does not understand. When it throws, which is a fault of ours, the resource counts as absent.
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
