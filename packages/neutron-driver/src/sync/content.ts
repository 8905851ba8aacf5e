// The content of a resource that the driver wants, and the value that carries it. Other programs' metadata in the value stays.
import { randomUUID } from 'node:crypto';
import { decodeJsonObject, type Fields, isFields, rfc3339Seconds, sameContent } from '@calico-openstack/datamodel';

/** The wanted content. */
export type ResourceContent = {
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
  /** The labels. When undefined, the existing labels stay. */
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly spec: Fields;
};

/** The uid and the time of a new resource. */
export type Birth = { readonly uid: string; readonly creationTimestamp: string };
/** A random uid and the present time. */
export const birth = (now: Date = new Date(), uid: string = randomUUID()): Birth => ({ uid, creationTimestamp: rfc3339Seconds(now) });

/** The fields of a stored value; undefined when there is none, or when it is not JSON and has to be replaced. */
export function storedFields(value: Uint8Array | undefined): Fields | undefined {
  const object = value && decodeJsonObject(value);
  return object?.ok ? object.value : undefined;
}

/** Whether the stored value already has the wanted content. */
export function holds(stored: Fields | undefined, content: ResourceContent): boolean {
  if (!stored || stored['kind'] !== content.kind) return false;
  const metadata = isFields(stored['metadata']) ? stored['metadata'] : {};
  const same = (field: 'labels' | 'annotations'): boolean => content[field] === undefined || sameContent(metadata[field] ?? {}, content[field]);
  return typeof metadata['uid'] === 'string' && same('labels') && same('annotations') && sameContent(stored['spec'], content.spec);
}

/** The value that replaces `stored`. Labels, annotations and spec are replaced; uid, creationTimestamp and all other metadata are kept. */
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
