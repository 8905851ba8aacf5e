// The settings in force: local sources and what the datastore says, and whether the datastore is ready to be acted on. Taken live; pure but for the sources handed in.
import { type Complaint, cfgSource, environmentSource, inForce, libcalicoSource, type Resolution, resolveOptions, type Source } from '@calico-openstack/agent';
import { decodeResource, type Labels, parseResourceKey, sameContent } from '@calico-openstack/datamodel';
import { concerns, configurationsOf, type FelixConfiguration, readFelixConfiguration } from './felix-configuration.ts';
import { type FelixConfig, parameters } from './option-table.ts';
import { complaintOf, wantsEncryptedMetrics } from './upstream-parameters.ts';

export type Settings = {
  readonly config: FelixConfig;
  /** `ClusterInformation default`: `spec.datastoreReady` is true: an explicit false is somebody's pause, an absent one a datastore that nobody has set up yet. */
  readonly ready: boolean;
};

export interface SettingsKeeper {
  readonly settings: Settings;
  /** What is to be said of the local sources, before the datastore is asked. */
  readonly complaints: readonly Complaint[];
  /**
   * Notes a key's new value; true when it concerns the settings. `refresh` then says what follows. Of a FelixConfiguration that cannot be read the last one that could be
   * stays in force, as long as this process runs: only its deletion takes it away.
   */
  update(key: string, value: Uint8Array | undefined): boolean;
  /** Resolves anew. What was not taken is in `complaints`, each once as long as it stays the same. */
  refresh(): { readonly changed: boolean; readonly complaints: readonly Complaint[] };
}

/** What one FelixConfiguration says, or said when it could last be read; and why it cannot be read now. */
type Known = { readonly read?: FelixConfiguration; readonly unreadable?: string };

/** Environment before files, the last file first; below them the variables that every client of Calico's datastore reads. A missing file is empty, as with upstream. @throws IniError */
export const localSources = (configFiles: readonly string[], environment: Readonly<Record<string, string | undefined>>): readonly Source[] => [
  environmentSource(environment, 'FELIX_'),
  ...configFiles.map((file) => cfgSource(file, { mayBeMissing: true })).reverse(),
  libcalicoSource(environment),
];

/** The parameters that these sources come to, with what is to be said of names that are none of ours. */
export function resolveParameters(sources: readonly Source[], lastGood?: FelixConfig): Resolution<typeof parameters> {
  const resolution = resolveOptions(parameters, sources, lastGood);
  const ofUnknown = mostImportant(resolution.unknown.flatMap((unknown) => complaintOf(unknown) ?? []));
  const values = ofUnknown.some(wantsEncryptedMetrics) ? { ...resolution.values, PrometheusMetricsEnabled: false } : resolution.values;
  return { ...resolution, values, complaints: [...resolution.complaints, ...ofUnknown] };
}

/** A FelixConfiguration can have any number of fields: of those that nobody knows so many are reported. */
const mostReported = 50;

/** What stops the start or closes something, and then as much as can be reported. */
function mostImportant(complaints: readonly Complaint[]): readonly Complaint[] {
  const matters = (complaint: Complaint): boolean => complaint.stops === true || wantsEncryptedMetrics(complaint);
  const others = complaints.filter((complaint) => !matters(complaint));
  if (others.length <= mostReported) return complaints;
  const rest = {
    option: '',
    source: others.at(-1)!.source,
    value: '',
    problem: `${others.length - mostReported} more names that this Felix does not act on are not reported`,
  };
  return [...complaints.filter(matters), ...others.slice(0, mostReported), rest];
}

/**
 * @param local the sources that beat the datastore's, in order
 * @throws StartError when a local value that must not be wrong is wrong
 */
export function createSettingsKeeper(local: readonly Source[]): SettingsKeeper {
  const first = resolveParameters(local);
  const firstConfig = inForce(first);
  const host = firstConfig.FelixHostname;
  const configurations = new Map<string, Known>();
  let nodeLabels: Labels | undefined;
  let ready = false;
  let settings: Settings = { config: firstConfig, ready };
  let told = new Set(first.complaints.map((complaint) => JSON.stringify(complaint)));

  function noteConfiguration(name: string, value: Uint8Array | undefined): void {
    const before = configurations.get(name);
    const read = value && readFelixConfiguration(name, value);
    if (!read) configurations.delete(name);
    else configurations.set(name, read.ok ? { read: read.value } : { ...before, unreadable: read.reason });
  }

  function noteNode(value: Uint8Array | undefined): void {
    const node = value && decodeResource(value);
    if (!node) nodeLabels = undefined;
    else if (node.ok) nodeLabels = node.value.metadata.labels;
  }

  function complaintsOf([name, { read, unreadable }]: readonly [string, Known]): Complaint[] {
    if (unreadable === undefined) return [];
    const instead = read ? 'the last one that could be read stays in force' : 'it counts as absent';
    return [{ option: '', source: `FelixConfiguration ${name}`, value: '', problem: `${unreadable}; ${instead}` }];
  }

  return {
    complaints: first.complaints,
    get settings() {
      return settings;
    },
    update(key, value) {
      const parsed = parseResourceKey(key);
      if (parsed?.plural === 'clusterinformations' && parsed.name === 'default') {
        const resource = value && decodeResource(value);
        ready = resource?.ok === true && resource.value.spec['datastoreReady'] === true;
        return true;
      }
      if (parsed?.plural === 'nodes' && parsed.name === host) {
        noteNode(value);
        return true;
      }
      if (parsed?.plural !== 'felixconfigurations' || !concerns(host, parsed.name)) return false;
      noteConfiguration(parsed.name, value);
      return true;
    },
    refresh() {
      const known = new Map([...configurations].flatMap(([name, { read }]) => (read ? [[name, read] as const] : [])));
      const fromDatastore = configurationsOf(host, known, nodeLabels).map(({ source }) => source);
      const { values: config, complaints } = resolveParameters([...local, ...fromDatastore], settings.config);
      const all = [...[...configurations].flatMap(complaintsOf), ...complaints];
      const fresh = all.filter((complaint) => !told.has(JSON.stringify(complaint)));
      told = new Set(all.map((complaint) => JSON.stringify(complaint)));
      const next: Settings = { config, ready };
      const changed = !sameContent(next, settings);
      settings = next;
      return { changed, complaints: fresh };
    },
  };
}
