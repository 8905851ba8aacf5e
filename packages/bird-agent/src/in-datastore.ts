// Reads which values of the BIRD agent's options come from the datastore, for `--check-config`: from this host's Node and the BGPConfigurations that apply to it.
import { type Complaint, etcdOfCfg, type InDatastore, inForce, namesakeComplaints, type Resolution, shownValue } from '@calico-openstack/agent';
import { type Decoded, decodeResource, type Fields, isFields, resourceKey } from '@calico-openstack/datamodel';
import { type EtcdReads, readOnce } from '@calico-openstack/etcd';
import { hostOption, namesakesOf } from './namesakes.ts';
import { registerInNode } from './node/registration.ts';
import type { Config, options } from './option-table.ts';
import { unsupportedFields } from './plan/plan.ts';
import { type BgpConfiguration, decodeBgpConfiguration } from './resources/bgp-configuration.ts';
import { decodeNode, type Node } from './resources/node.ts';

type Options = Resolution<typeof options>;

/**
 * The options as a running agent would have them. Writes nothing.
 * @throws EtcdError when etcd does not answer or refuses; StartError when these options do not let the agent start
 */
export const readBirdDatastore = (local: Options): Promise<InDatastore> => readOnce(etcdOfCfg(inForce(local)), (etcd) => inDatastore(local, etcd));

/** The fields of BGPConfiguration that a host may have for itself. */
const hostFields: ReadonlySet<string> = new Set(['communities', 'prefixAdvertisements', 'logSeverityScreen', 'listenPort']);

/** The options according to this datastore. Rejects with EtcdError. */
export async function inDatastore(local: Options, etcd: Pick<EtcdReads, 'get' | 'range'>): Promise<InDatastore> {
  const { values } = local;
  const host = values.Hostname;
  const [nodeName, hostConfiguration] = [`Node ${host}`, `node.${host}`] as const;
  const read = async (plural: 'nodes' | 'bgpconfigurations', name: string) => (await etcd.get(resourceKey({ plural, name }))).found?.value;
  const [nodeBytes, clusterBytes, hostBytes] = await Promise.all([
    read('nodes', host),
    read('bgpconfigurations', 'default'),
    read('bgpconfigurations', hostConfiguration),
  ]);
  const node = registered(nodeBytes, values);
  const cluster = clusterBytes && decodeBgpConfiguration(clusterBytes);
  const own = hostBytes && decodeBgpConfiguration(hostBytes);
  const configurations = new Map<string, Decoded<BgpConfiguration>>([
    ...(cluster ? [['default', cluster] as const] : []),
    ...(own ? [[hostConfiguration, own] as const] : []),
  ]);
  const refused = [[nodeName, node] as const, ...[...configurations].map(([name, each]) => [`BGPConfiguration ${name}`, each] as const)].flatMap(
    ([source, each]): Complaint[] =>
      each && !each.ok ? [{ option: '', source, value: '', problem: `${each.reason}; it is not understood, and BIRD keeps the last one that was` }] : [],
  );
  const ignored = unsupportedFields({ configurations }, host).map(
    ({ key, reason, effect }): Complaint => ({ option: '', source: key, value: '', problem: `${reason}; ${effect}` }),
  );
  const misplaced = new Set([...configurations.values()].flatMap((each) => (each.ok ? each.value.unsupported : [])));
  const texts = new Map([
    ...linesOf('BGPConfiguration default', cluster && clusterBytes, () => true),
    ...linesOf(`BGPConfiguration ${hostConfiguration}`, own && hostBytes, (field) => hostFields.has(field)),
  ]);
  return {
    resolution: { ...local, setBy: new Map([...local.setBy, ...decidedElsewhere(local, node?.ok ? node.value : undefined, nodeBytes, cluster)]) },
    lines: [...texts].flatMap(([field, line]) => (misplaced.has(field) ? [] : [line])),
    complaints: [...refused, ...ignored, ...namesakeComplaints({ host, option: hostOption }, await namesakesOf(etcd, values))],
  };
}

/** This host's Node as the agent would write it: values of an operator stay, and the options' values are added. */
function registered(bytes: Uint8Array | undefined, values: Config): Decoded<Node> | undefined {
  if (!bytes) return undefined;
  const given = (family: 4 | 6): string | undefined => {
    const wish = values[`IPv${family}Address`];
    return wish.kind === 'given' ? wish.address : undefined;
  };
  const wanted = { ipv4Address: given(4), ipv6Address: given(6), asNumber: values.AsNumber };
  const written = registerInNode(bytes, values.Hostname, wanted, () => ({ uid: '', creationTimestamp: '' }));
  if (!written.ok) return written;
  return decodeNode(values.Hostname, written.value === undefined ? bytes : new TextEncoder().encode(written.value));
}

/** The options whose values come from the Node or from BGPConfiguration, with these values. */
function decidedElsewhere(
  { values, setBy }: Options,
  node: Node | undefined,
  nodeBytes: Uint8Array | undefined,
  cluster: Decoded<BgpConfiguration> | undefined,
): ReadonlyMap<keyof Config, { readonly source: string; readonly text: string }> {
  const source = `Node ${values.Hostname}`;
  const decided = new Map<keyof Config, { source: string; text: string }>();
  if (node?.asNumber !== undefined && node.asNumber !== values.AsNumber) decided.set('AsNumber', { source, text: String(node.asNumber) });
  else if (values.AsNumber === undefined && cluster?.ok && cluster.value.asNumber !== undefined)
    decided.set('AsNumber', { source: 'BGPConfiguration default', text: String(cluster.value.asNumber) });
  const bgp = nodeBytes && specOf(nodeBytes)['bgp'];
  for (const family of [4, 6] as const) {
    const [there, wish] = [isFields(bgp) ? bgp[`ipv${family}Address`] : undefined, values[`IPv${family}Address`]];
    const isDecided = node?.addresses[family] && (wish.kind !== 'given' || node.addresses[family].address !== wish.address.split('/')[0]);
    if (isDecided && typeof there === 'string') decided.set(`IPv${family}Address`, { source, text: there });
  }
  if (!setBy.has('RouterId') && node?.addresses[4]) decided.set('RouterId', { source, text: node.addresses[4].address });
  return decided;
}

/** The fields of a resource that count, each with the line that reports it. */
function linesOf(source: string, bytes: Uint8Array | undefined, counts: (field: string) => boolean): readonly (readonly [string, string])[] {
  if (!bytes) return [];
  return Object.entries(specOf(bytes))
    .filter(([field, value]) => counts(field) && value !== null)
    .map(([field, value]) => [`spec.${field}`, `spec.${field} = ${shownValue(field, JSON.stringify(value))} (${source})`]);
}

function specOf(bytes: Uint8Array): Fields {
  const resource = decodeResource(bytes);
  return resource.ok ? resource.value.spec : {};
}
