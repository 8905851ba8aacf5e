// Where parameters come from: environment, file, and the datastore's FelixConfiguration resources. Each source gives texts by lower-case name.
import { readIni } from '@calico-openstack/agent';
import { type Decoded, decoded, decodeResource, type Fields, type Resource } from '@calico-openstack/datamodel';

/** @property name how messages call it: `environment`, a file's path, `FelixConfiguration default` */
export type Source = { readonly name: string; readonly fromDatastore: boolean; readonly values: ReadonlyMap<string, string> };

/** libcalico's names for the connection to etcd; below the file (peer/felix.md 8.1: operators have them, since upstream's Felix does not hear FELIX_ETCD…). */
const libcalicoNames: Readonly<Record<string, string>> = {
  DATASTORE_TYPE: 'datastoretype',
  ETCD_ENDPOINTS: 'etcdendpoints',
  ETCD_CA_CERT_FILE: 'etcdcafile',
  ETCD_CERT_FILE: 'etcdcertfile',
  ETCD_KEY_FILE: 'etcdkeyfile',
  ETCD_USERNAME: 'etcdusername',
  ETCD_PASSWORD: 'etcdpassword',
};

/** `FELIX_<NAME>`, in any case. */
export function environmentSource(environment: Readonly<Record<string, string | undefined>>): Source {
  const values = new Map<string, string>();
  for (const [name, value] of Object.entries(environment))
    if (value !== undefined && /^felix_/i.test(name)) values.set(name.slice('felix_'.length).toLowerCase(), value);
  return { name: 'environment', fromDatastore: false, values };
}

/** `CALICO_ETCD_ENDPOINTS` and the like, and without `CALICO_`, which gives way. */
export function libcalicoSource(environment: Readonly<Record<string, string | undefined>>): Source {
  const values = new Map<string, string>();
  for (const [name, parameter] of Object.entries(libcalicoNames)) {
    const value = environment[`CALICO_${name}`] ?? environment[name];
    if (value !== undefined) values.set(parameter, value);
  }
  return { name: 'environment', fromDatastore: false, values };
}

/**
 * An ini file in which sections have no meaning; of several values of one name the last holds. A missing file is empty.
 * @throws IniError when it is there and cannot be read
 */
export function fileSource(path: string): Source {
  const ini = readIni(path, { mayBeMissing: true });
  const values = new Map<string, string>();
  for (const options of ini.values()) for (const [name, texts] of options) values.set(name.toLowerCase(), texts.at(-1)!);
  return { name: path, fromDatastore: false, values };
}

/** Fields of FelixConfiguration that are not called as their parameter. */
const fieldNames: ReadonlyMap<string, string> = new Map([
  ['ipipenabled', 'ipinipenabled'],
  ['ipipmtu', 'ipinipmtu'],
  ['reportinginterval', 'reportingintervalsecs'],
  ['reportingttl', 'reportingttlsecs'],
  ['endpointreportingdelay', 'endpointreportingdelaysecs'],
  ['netlinktimeout', 'netlinktimeoutsecs'],
]);

const annotationPrefix = 'config.projectcalico.org/';

/** A FelixConfiguration's fields as parameters' texts; annotations `config.projectcalico.org/<Parameter>` beat the field of that name. */
export function felixConfigurationSource(name: string, bytes: Uint8Array): Decoded<{ readonly source: Source; readonly resource: Resource }> {
  const resource = decodeResource(bytes);
  if (!resource.ok) return resource;
  const values = new Map<string, string>();
  for (const [field, value] of Object.entries(resource.value.spec)) {
    const lower = field.toLowerCase();
    values.set(fieldNames.get(lower) ?? lower, fieldText(value));
  }
  for (const [annotation, value] of Object.entries(resource.value.metadata.annotations)) {
    if (annotation.startsWith(annotationPrefix)) values.set(annotation.slice(annotationPrefix.length).toLowerCase(), value);
  }
  return decoded({ source: { name: `FelixConfiguration ${name}`, fromDatastore: true, values }, resource: resource.value });
}

function fieldText(value: unknown): string {
  if (typeof value === 'string') return duration(value) ?? value;
  if (value === null) return '';
  if (!Array.isArray(value)) return plainText(value);
  if (value.length === 0) return 'none';
  return value.map((entry: unknown) => (isPort(entry) ? portText(entry) : plainText(entry))).join(',');
}

/** Text as it is, anything else as JSON: String() would call what the value itself says its `toString` is. */
const plainText = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

/** Go's durations (`30s`, `1m30s`, `250ms`) as seconds. */
function duration(text: string): string | undefined {
  if (!/^([0-9]+(\.[0-9]+)?(h|ms|m|s))+$/.test(text)) return undefined;
  const unit = { h: 3600, m: 60, s: 1, ms: 0.001 } as const;
  let total = 0;
  for (const [, number, , name] of text.matchAll(/([0-9]+(\.[0-9]+)?)(h|ms|m|s)/g)) total += Number(number) * unit[name as keyof typeof unit];
  return String(total);
}

const isPort = (value: unknown): value is Fields => typeof value === 'object' && value !== null && 'port' in value;

/** A failsafe port, as the parameter writes it. */
function portText({ protocol, port, net }: Fields): string {
  const network = typeof net === 'string' ? `${net.includes(':') ? `[${net}]` : net}:` : '';
  return `${plainText(protocol ?? 'tcp').toLowerCase()}:${network}${plainText(port)}`;
}
