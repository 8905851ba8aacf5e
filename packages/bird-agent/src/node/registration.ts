// Computes this host's Node: values of an operator stay, values of the agent follow the host.
import { type Decoded, decoded, decodeJsonObject, type Fields, isFields, refused, rfc3339Seconds, sameContent } from '@calico-openstack/datamodel';
import { claimedAnnotation } from '../resources/node.ts';

/** What the agent knows of its host. A value that is undefined is not known, so the present one stays. */
export type Registration = {
  readonly ipv4Address: string | undefined;
  readonly ipv6Address: string | undefined;
  readonly asNumber: number | undefined;
  /** The addresses have to be claimed with a later time than this, because another Node has one of them (plan/claims.ts); undefined when none has. */
  readonly claimAfterMs?: number | undefined;
};

const fieldNames = ['ipv4Address', 'ipv6Address', 'asNumber'] as const satisfies readonly (keyof Registration)[];

/** The annotation that holds, as JSON, the values of `spec.bgp` that the agent wrote. A field that differs from it was set by somebody else and is not changed. */
export const registeredAnnotation = 'openstack.projectcalico.org/registered-bgp';

/** The annotation that claims the addresses, if it has to be written. */
function claim(annotations: Fields, { claimAfterMs }: Registration, nowMs: number): Fields {
  if (claimAfterMs === undefined || Date.parse(String(annotations[claimedAnnotation])) > claimAfterMs) return {};
  return { [claimedAnnotation]: rfc3339Seconds(new Date(Math.max(nowMs, claimAfterMs + 1000))) };
}

/** The uid and creation time of a new Node. */
export type Birth = { readonly uid: string; readonly creationTimestamp: string };

/**
 * The Node's new value as JSON; undefined when the present one is right.
 * @param current the present value; undefined when there is no Node: then one is created with `birth`
 * @returns a refusal for a value that is not a Node: it is somebody else's and must not be overwritten
 */
export function registerInNode(current: Uint8Array | undefined, name: string, wanted: Registration, birth: () => Birth): Decoded<string | undefined> {
  if (!current) return decoded(JSON.stringify(newNode(name, wanted, birth())));
  const object = decodeJsonObject(current);
  if (!object.ok) return object;
  const node = object.value;
  const { spec = {}, metadata = {} } = node;
  if (!isFields(spec) || !isFields(metadata)) return refused('spec or metadata is not an object');
  const [bgp, annotations] = [spec['bgp'] ?? undefined, metadata['annotations'] ?? undefined];
  if (!isOptional(bgp) || !isOptional(annotations)) return refused('spec.bgp or metadata.annotations is not an object');

  const registered = readAnnotation(annotations?.[registeredAnnotation]);
  const { values, ours } = merge(bgp ?? {}, registered, wanted);
  const claimed = claim(annotations ?? {}, wanted, Date.parse(birth().creationTimestamp));
  const unchanged = fieldNames.every((field) => values[field] === bgp?.[field]) && sameContent(ours, registered) && Object.keys(claimed).length === 0;
  if (unchanged) return decoded(undefined);
  return decoded(
    JSON.stringify({
      ...node,
      metadata: {
        ...metadata,
        annotations: { ...annotations, [registeredAnnotation]: JSON.stringify(ours), ...claimed },
      },
      spec: { ...spec, bgp: { ...bgp, ...values } },
    }),
  );
}

/** Whether a Node holds only values that an agent wrote, so that its host would write it again unchanged. */
export function isAgentsAlone(value: Uint8Array): boolean {
  const object = decodeJsonObject(value);
  if (!object.ok) return false;
  const { metadata, spec } = object.value;
  if (!isFields(metadata) || !isFields(spec)) return false;
  const { labels = {}, annotations } = metadata;
  const { bgp, ...more } = spec;
  if (!isFields(labels) || !isFields(annotations) || !isFields(bgp)) return false;
  const others = Object.keys(annotations).filter((name) => name !== registeredAnnotation && name !== claimedAnnotation);
  if ([...Object.keys(labels), ...others, ...Object.keys(more)].length > 0) return false;
  const registered = readAnnotation(annotations[registeredAnnotation]);
  return Object.entries(bgp).every(([field, each]) => each === registered[field]);
}

const isOptional = (value: unknown): value is Fields | undefined => value === undefined || isFields(value);

function newNode(name: string, wanted: Registration, { uid, creationTimestamp }: Birth): object {
  const { values, ours } = merge({}, {}, wanted);
  return {
    kind: 'Node',
    apiVersion: 'projectcalico.org/v3',
    metadata: {
      name,
      uid,
      creationTimestamp,
      annotations: { [registeredAnnotation]: JSON.stringify(ours), ...claim({}, wanted, Date.parse(creationTimestamp)) },
    },
    spec: { bgp: values },
  };
}

/** Merges values. A field belongs to the agent when it is absent or still has the value that the agent wrote. */
function merge(current: Fields, registered: Fields, wanted: Registration): { readonly values: Fields; readonly ours: Fields } {
  const values: Record<string, unknown> = {};
  const ours: Record<string, unknown> = {};
  for (const field of fieldNames) {
    const there = current[field] ?? undefined;
    const free = there === undefined || there === '';
    if (!free && there !== registered[field]) continue;
    const value = wanted[field] ?? (free ? undefined : there);
    if (value === undefined) continue;
    values[field] = value;
    ours[field] = value;
  }
  return { values: { ...pick(current), ...values }, ours };
}

const pick = (fields: Fields): Fields => Object.fromEntries(fieldNames.filter((field) => field in fields).map((field) => [field, fields[field]]));

function readAnnotation(text: unknown): Fields {
  const object = typeof text === 'string' ? decodeJsonObject(new TextEncoder().encode(text)) : undefined;
  return object?.ok ? object.value : {};
}
