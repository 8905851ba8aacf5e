// Decodes NetworkSet and GlobalNetworkSet: labelled prefixes, which rules can select.
import { type Cidr, parseCidr } from '@calico-openstack/addresses';
import { type Labels, namespaceLabel, show, tooManyLabels } from '@calico-openstack/datamodel';
import { fieldNames, readFields } from './fields.ts';
import { type Reading, readResource } from './reading.ts';

/** A network set. `profiles` are those that it inherits labels from. */
export type NetworkSetDefinition = { readonly labels: Labels; readonly profiles: readonly string[]; readonly nets: readonly Cidr[] };

const networkSetFields = fieldNames('nets');

/**
 * Entries that are not prefixes are skipped. A NetworkSet is labelled with its namespace, and inherits labels from the namespace's profile.
 * @param namespace undefined for a GlobalNetworkSet
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
