// A resource's content as the driver wants it, and the value that carries it: what others put into its metadata stays.
import { randomUUID } from 'node:crypto';
import { decodeJsonObject, type Fields, isFields, rfc3339Seconds, sameContent } from '@calico-openstack/datamodel';

export type ResourceContent = {
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
  /** undefined: those that are there stay. */
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly spec: Fields;
};

/** Chance and clock, for new resources. */
export type Birth = { readonly uid: string; readonly creationTimestamp: string };
export const birth = (now: Date = new Date(), uid: string = randomUUID()): Birth => ({ uid, creationTimestamp: rfc3339Seconds(now) });

/** The fields of a stored value; undefined when there is none, or when it is not JSON and has to be made anew. */
export function storedFields(value: Uint8Array | undefined): Fields | undefined {
  const object = value && decodeJsonObject(value);
  return object?.ok ? object.value : undefined;
}

/** Whether the stored value already says what is wanted. */
export function holds(stored: Fields | undefined, content: ResourceContent): boolean {
  if (!stored || stored['kind'] !== content.kind) return false;
  const metadata = isFields(stored['metadata']) ? stored['metadata'] : {};
  const same = (field: 'labels' | 'annotations'): boolean => content[field] === undefined || sameContent(metadata[field] ?? {}, content[field]);
  return typeof metadata['uid'] === 'string' && same('labels') && same('annotations') && sameContent(stored['spec'], content.spec);
}

/** The value to store in place of `stored`. uid, creationTimestamp and whatever else stands in its metadata are kept; labels, annotations and spec are replaced. */
export function encodeContent(stored: Fields | undefined, content: ResourceContent, born: Birth): string {
  const metadata = stored && isFields(stored['metadata']) ? stored['metadata'] : {};
  return JSON.stringify({
    kind: content.kind,
    apiVersion: 'projectcalico.org/v3',
    metadata: {
      ...born,
      ...metadata,
      name: content.name,
      ...(content.namespace !== undefined && { namespace: content.namespace }),
      ...(content.labels && { labels: content.labels }),
      ...(content.annotations && { annotations: content.annotations }),
    },
    spec: content.spec,
  });
}
