// Keeps the last valid values on disk, so that an invalid value does not take effect by a restart of the agent.
import { type Decoded, decoded, decodeResource, isFields, parseJson, refused } from '@calico-openstack/datamodel';
import type { Change } from '@calico-openstack/etcd';
import { draft, readText } from './bird/file.ts';

/** A resource's value and its revision. */
export type Understood = { readonly modRevision: number; readonly value: Uint8Array };

/** Whether `last` is an earlier value of the same resource, and not of one that has been deleted since, or of another datastore. */
export function isSameResource(last: Understood, now: Pick<Change, 'modRevision' | 'value'>): boolean {
  const [was, is] = [uidOf(last.value), uidOf(now.value)];
  return last.modRevision < now.modRevision && (was === undefined || is === undefined || was === is);
}

/** A value's uid; undefined also when the value cannot be decoded. */
function uidOf(value: Uint8Array | undefined): string | undefined {
  const resource = value && decodeResource(value);
  return resource?.ok ? resource.value.metadata.uid : undefined;
}

/** The file with the values. */
export interface UnderstoodFile {
  readonly path: string;
  /** Reads the values by key; refused with the reason when the file cannot be read. */
  read(): Promise<Decoded<ReadonlyMap<string, Understood>>>;
  /** Replaces the file's content by these values. Rejects with the system's error when it cannot be written. */
  write(values: ReadonlyMap<string, Understood>): Promise<void>;
}

/** The path of the file, which is beside BIRD's configuration. */
export const understoodPath = (birdConfigFile: string): string => `${birdConfigFile}.understood`;

/** The file at this path. */
export function understoodFile(path: string): UnderstoodFile {
  let current: string | undefined;
  return {
    path,
    async read() {
      try {
        current = await readText(path);
      } catch (error) {
        return refused((error as Error).message);
      }
      return current === undefined ? decoded(new Map()) : parse(current);
    },
    async write(values) {
      const text = print(values);
      if (text === current) return;
      await (await draft(path, [Buffer.from(text)], undefined)).publish();
      current = text;
    },
  };
}

function print(values: ReadonlyMap<string, Understood>): string {
  const sorted = [...values].sort(([a], [b]) => (a < b ? -1 : 1));
  const entries = sorted.map(([key, { modRevision, value }]) => [key, { modRevision, value: Buffer.from(value).toString('utf8') }] as const);
  return `${JSON.stringify(Object.fromEntries(entries), undefined, 1)}\n`;
}

function parse(text: string): Decoded<ReadonlyMap<string, Understood>> {
  const object = parseJson(text);
  if (!object.ok) return object;
  if (!isFields(object.value)) return refused('it is not an object');
  const values = new Map<string, Understood>();
  for (const [key, entry] of Object.entries(object.value)) {
    if (!isFields(entry) || typeof entry['modRevision'] !== 'number' || typeof entry['value'] !== 'string')
      return refused('an entry is not a revision and a value');
    values.set(key, { modRevision: entry['modRevision'], value: Buffer.from(entry['value']) });
  }
  return decoded(values);
}
