// The settings in force: local sources and what the datastore says, and whether the datastore is ready to be acted on. Taken live; pure but for the sources handed in.
import { decodeResource, parseResourceKey, sameContent } from '@calico-openstack/datamodel';
import type { FelixConfig } from './config/parameters.ts';
import { type Complaint, resolveConfig } from './config/resolve.ts';
import { felixConfigurationSource, type Source } from './config/sources.ts';

export type Settings = {
  readonly config: FelixConfig;
  /** `ClusterInformation default`: `spec.datastoreReady` is true: an explicit false is somebody's pause, an absent one a datastore that nobody has set up yet. */
  readonly ready: boolean;
};

export interface SettingsKeeper {
  readonly settings: Settings;
  /**
   * Notes a key's new value; true when it concerns the settings. `refresh` then says what follows. Of a FelixConfiguration that cannot be read the last one that could be
   * stays in force, as long as this process runs: only its deletion takes it away.
   */
  update(key: string, value: Uint8Array | undefined): boolean;
  /** Resolves anew. What was not taken is in `complaints`, each once as long as it stays the same. */
  refresh(): { readonly changed: boolean; readonly complaints: readonly Complaint[] };
}

/** What one FelixConfiguration says, or said when it could last be read; and why it cannot be read now. */
type Configuration = { readonly source?: Source; readonly unreadable?: string };

/**
 * @param local the sources that beat the datastore's (environment, file), and those below the file (libcalico's environment), in order
 * @throws StartError when a local value that must not be wrong is wrong
 */
export function keepSettings(local: readonly Source[]): SettingsKeeper {
  const first = resolveConfig(local);
  const host = first.config.FelixHostname;
  const configurations = new Map<string, Configuration>([`node.${host}`, 'default'].map((name) => [name, {}])); // in order of precedence
  let ready = false;
  let settings: Settings = { config: first.config, ready };
  let told = new Set<string>();

  function complaintOf([name, { source, unreadable }]: readonly [string, Configuration]): Complaint[] {
    if (unreadable === undefined) return [];
    const instead = source ? 'the last one that could be read stays in force' : 'counts as absent';
    return [{ parameter: '', source: `FelixConfiguration ${name}`, value: '', problem: `${unreadable}; ${instead}` }];
  }

  return {
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
      const before = parsed?.plural === 'felixconfigurations' ? configurations.get(parsed.name) : undefined;
      if (!parsed || !before) return false;
      const read = value && felixConfigurationSource(parsed.name, value);
      if (!read) configurations.set(parsed.name, {});
      else if (read.ok) configurations.set(parsed.name, { source: read.value.source });
      else configurations.set(parsed.name, { ...before, unreadable: read.reason });
      return true;
    },
    refresh() {
      const fromDatastore = [...configurations.values()].flatMap(({ source }) => source ?? []);
      const { config, complaints } = resolveConfig([...local, ...fromDatastore], settings.config);
      const all = [...[...configurations].flatMap(complaintOf), ...complaints];
      const fresh = all.filter((complaint) => !told.has(JSON.stringify(complaint)));
      told = new Set(all.map((complaint) => JSON.stringify(complaint)));
      const next: Settings = { config, ready };
      const changed = !sameContent(next, settings);
      settings = next;
      return { changed, complaints: fresh };
    },
  };
}
