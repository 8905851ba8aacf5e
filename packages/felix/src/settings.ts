// The settings in force: local sources and what the datastore says, and whether the datastore is ready to be acted on. Taken live; pure but for the sources handed in.
import { decodeResource, parseResourceKey } from '@calico-openstack/datamodel';
import type { FelixConfig } from './config/parameters.ts';
import { type Complaint, resolveConfig } from './config/resolve.ts';
import { felixConfigurationSource, type Source } from './config/sources.ts';

export type Settings = {
  readonly config: FelixConfig;
  /** `ClusterInformation default`: `spec.clusterType` */
  readonly clusterType: string;
  /** `spec.datastoreReady` is true: an explicit false is somebody's pause, an absent one a datastore that nobody has set up yet. */
  readonly ready: boolean;
};

export interface SettingsKeeper {
  readonly settings: Settings;
  /** Notes a key's new value; true when it concerns the settings. `refresh` then says what follows. */
  update(key: string, value: Uint8Array | undefined): boolean;
  /** Resolves anew. What was not taken is in `complaints`, each once as long as it stays the same. */
  refresh(): { readonly changed: boolean; readonly complaints: readonly Complaint[] };
}

/**
 * @param local the sources that beat the datastore's (environment, file), and those below the file (libcalico's environment), in order
 * @throws StartError when a local value that must not be wrong is wrong
 */
export function keepSettings(local: readonly Source[]): SettingsKeeper {
  const first = resolveConfig(local);
  const host = first.config.FelixHostname;
  const resources = new Map<string, Uint8Array>();
  let settings: Settings = { config: first.config, clusterType: '', ready: false };
  let told = new Set<string>();

  function sources(): { readonly sources: readonly Source[]; readonly complaints: readonly Complaint[] } {
    const complaints: Complaint[] = [];
    const fromDatastore = [`node.${host}`, 'default'].flatMap((name): Source[] => {
      const bytes = resources.get(`felixconfigurations ${name}`);
      if (!bytes) return [];
      const source = felixConfigurationSource(name, bytes);
      if (source.ok) return [source.value.source];
      complaints.push({ parameter: '', source: `FelixConfiguration ${name}`, value: '', problem: `${source.reason}; counts as absent` });
      return [];
    });
    return { sources: [...local, ...fromDatastore], complaints };
  }

  function cluster(): Pick<Settings, 'clusterType' | 'ready'> {
    const bytes = resources.get('clusterinformations default');
    const resource = bytes && decodeResource(bytes);
    if (!resource?.ok) return { clusterType: '', ready: false };
    const { clusterType, datastoreReady } = resource.value.spec;
    return { clusterType: typeof clusterType === 'string' ? clusterType : '', ready: datastoreReady === true };
  }

  return {
    get settings() {
      return settings;
    },
    update(key, value) {
      const parsed = parseResourceKey(key);
      if (parsed?.plural !== 'felixconfigurations' && parsed?.plural !== 'clusterinformations') return false;
      if (value) resources.set(`${parsed.plural} ${parsed.name}`, value);
      else resources.delete(`${parsed.plural} ${parsed.name}`);
      return true;
    },
    refresh() {
      const inputs = sources();
      const { config, complaints } = resolveConfig(inputs.sources, settings.config);
      const all = [...inputs.complaints, ...complaints];
      const fresh = all.filter((complaint) => !told.has(JSON.stringify(complaint)));
      told = new Set(all.map((complaint) => JSON.stringify(complaint)));
      const next: Settings = { config, ...cluster() };
      const changed = JSON.stringify(next) !== JSON.stringify(settings);
      settings = next;
      return { changed, complaints: fresh };
    },
  };
}
