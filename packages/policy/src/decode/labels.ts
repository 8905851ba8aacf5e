// Labels as lists, for endpoints and sets.
import type { Labels, WorkloadEndpoint } from '@calico-openstack/datamodel';
import type { LabelList } from '../graph/labels.ts';
import { namespacePrefix, serviceAccountLabel, serviceAccountPrefix } from './scope.ts';

export const labelList = (labels: Labels): LabelList => Object.entries(labels).flat();

/** A workload's own labels, without those that only its namespace's or service account's profile may give, and with its service account. */
export function workloadLabels({ labels, serviceAccount }: Pick<WorkloadEndpoint, 'labels' | 'serviceAccount'>): LabelList {
  const list: string[] = [];
  for (const name in labels) {
    if (name.startsWith(namespacePrefix) || name.startsWith(serviceAccountPrefix) || (serviceAccount && name === serviceAccountLabel)) continue;
    list.push(name, labels[name]!);
  }
  if (serviceAccount) list.push(serviceAccountLabel, serviceAccount);
  return list;
}
