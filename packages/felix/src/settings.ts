// The settings in force, from local sources and from the datastore, and whether the datastore is ready. Settings change while Felix runs.
import {
  type Complaint,
  cfgSource,
  complaintsOfPlainEtcd,
  environmentSource,
  etcdOfCfg,
  inForce,
  libcalicoSource,
  type Resolution,
  resolveOptions,
  type Source,
} from '@calico-openstack/agent';
import { decodeResource, type Labels, parseResourceKey, sameContent } from '@calico-openstack/datamodel';
import { concerns, configurationsOf, type FelixConfiguration, readFelixConfiguration } from './felix-configuration.ts';
import { type FelixConfig, parameters } from './option-table.ts';
import { complaintOf } from './upstream-parameters.ts';

/** The settings in force. */
export type Settings = {
  readonly config: FelixConfig;
  /**
   * Whether `spec.datastoreReady` of `ClusterInformation default` is true. An operator sets it to false to pause all agents. It is absent in a datastore that has not been filled yet,
   * which must not be acted on either.
   */
  readonly ready: boolean;
};

/** Keeps the settings in force. */
export interface SettingsKeeper {
  readonly settings: Settings;
  /** Complaints about the local sources, known before the datastore is read. */
  readonly complaints: readonly Complaint[];
  /**
   * Notes the new value of a key, or undefined when it was deleted. `refresh` puts it in force. While this process runs, a FelixConfiguration that becomes unreadable keeps its last
   * readable value until it is deleted.
   * @returns whether the key concerns the settings
   */
  update(key: string, value: Uint8Array | undefined): boolean;
  /** Resolves all parameters again. Returns whether settings changed, the complaints that are new since the last call, and where each parameter in force is set. */
  refresh(): { readonly changed: boolean; readonly complaints: readonly Complaint[]; readonly resolution: Resolution<typeof parameters> };
}

/** The last readable value of a FelixConfiguration, and the reason why its current value cannot be read. */
type Known = { readonly read?: FelixConfiguration; readonly unreadable?: string };

/**
 * The sources on this host in order of precedence: `FELIX_…` in the environment; the files, the last file first; the environment variables of every client of Calico's datastore.
 * A missing file counts as empty, as with upstream.
 * @throws IniError when a file cannot be read
 */
export const localSources = (configFiles: readonly string[], environment: Readonly<Record<string, string | undefined>>): readonly Source[] => [
  environmentSource(environment, 'FELIX_'),
  ...configFiles.map((file) => cfgSource(file, { mayBeMissing: true })).reverse(),
  libcalicoSource(environment),
];

/** Resolves the parameters. The complaints include those about names that are not parameters of this Felix. @param lastGood see `resolveOptions` */
export function resolveParameters(sources: readonly Source[], lastGood?: FelixConfig): Resolution<typeof parameters> {
  const resolution = resolveOptions(parameters, sources, lastGood);
  const ofUnknown = mostImportant(resolution.unknown.flatMap((unknown) => complaintOf(unknown) ?? []));
  const ofEtcd = complaintsOfPlainEtcd(resolution, etcdOfCfg(resolution.values));
  return { ...resolution, complaints: [...resolution.complaints, ...ofEtcd, ...ofUnknown] };
}

/** How many unknown names are reported. A FelixConfiguration can have any number of them. */
const mostReported = 50;

/** All complaints that stop the start, and as many others as are reported. */
function mostImportant(complaints: readonly Complaint[]): readonly Complaint[] {
  const matters = (complaint: Complaint): boolean => complaint.stops === true;
  const others = complaints.filter((complaint) => !matters(complaint));
  if (others.length <= mostReported) return complaints;
  const rest = {
    option: '',
    source: others.at(-1)!.source,
    value: '',
    problem: `${others.length - mostReported} more names have no effect in this Felix, and are not listed`,
  };
  return [...complaints.filter(matters), ...others.slice(0, mostReported), rest];
}

/**
 * Starts with the local sources alone, and with a datastore that is not ready.
 * @param local the local sources, which take precedence over the datastore's, in order of precedence
 * @param host what this host's kernel has; without IPv6, `Ipv6Support` is false whatever the sources say
 * @throws StartError CONFIG_INVALID when a required parameter has an invalid text
 */
export function createSettingsKeeper(local: readonly Source[], { ipv6 }: { readonly ipv6: boolean } = { ipv6: true }): SettingsKeeper {
  const supported = (config: FelixConfig): FelixConfig => (ipv6 ? config : { ...config, Ipv6Support: false });
  const first = resolveParameters(local);
  const firstConfig = supported(inForce(first));
  const host = firstConfig.FelixHostname;
  const configurations = new Map<string, Known>();
  let nodeLabels: Labels | undefined;
  let ready = false;
  let settings: Settings = { config: firstConfig, ready };
  let reported = new Set(first.complaints.map((complaint) => JSON.stringify(complaint)));

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
      const resolution = resolveParameters([...local, ...fromDatastore], settings.config);
      const { values, complaints } = resolution;
      const all = [...[...configurations].flatMap(complaintsOf), ...complaints];
      const fresh = all.filter((complaint) => !reported.has(JSON.stringify(complaint)));
      reported = new Set(all.map((complaint) => JSON.stringify(complaint)));
      const next: Settings = { config: supported(values), ready };
      const changed = !sameContent(next, settings);
      settings = next;
      return { changed, complaints: fresh, resolution };
    },
  };
}
