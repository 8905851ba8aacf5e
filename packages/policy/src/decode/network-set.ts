// NetworkSet and GlobalNetworkSet: prefixes under labels, as rules' selectors see them.
import { type Cidr, type Labels, namespaceLabel, parseCidr, show, tooManyLabels } from '@calico-openstack/datamodel';
import { fieldNames, readFields } from './fields.ts';
import { type Reading, readResource } from './reading.ts';

export type NetworkSetDefinition = { readonly labels: Labels; readonly profiles: readonly string[]; readonly nets: readonly Cidr[] };

const networkSetFields = fieldNames('nets');

/**
 * Entries that are no prefix are left out. A NetworkSet is labelled with its namespace, and inherits from the namespace's profile.
 * @param namespace undefined for a GlobalNetworkSet.
 */
export function decodeNetworkSet(bytes: Uint8Array, namespace: string | undefined): Reading<NetworkSetDefinition> {
  return readResource(bytes, ({ metadata, spec }, complain) => {
    const excess = tooManyLabels(metadata.labels);
    if (excess) {
      complain(`metadata.labels ${excess}; the set counts as absent`);
      return undefined;
    }
    const given = readFields(spec, networkSetFields).fields.nets ?? [];
    const nets = new Set<Cidr>();
    if (!Array.isArray(given)) complain(`spec.nets is ${show(given)}, not a list`);
    else {
      for (const entry of given as unknown[]) {
        const net = typeof entry === 'string' ? parseCidr(entry) : undefined;
        if (net) nets.add(net);
        else complain(`spec.nets holds ${show(entry)}, which is not an address or prefix`);
      }
    }
    if (namespace === undefined) return { labels: metadata.labels, profiles: [], nets: [...nets] };
    return { labels: { ...metadata.labels, [namespaceLabel]: namespace }, profiles: [`kns.${namespace}`], nets: [...nets] };
  });
}
