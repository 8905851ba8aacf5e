// Turns the labels of endpoints and network sets into label lists.
import type { Labels, WorkloadEndpoint } from '@calico-openstack/datamodel';
import type { LabelList } from '../graph/labels.ts';
import { namespacePrefix, serviceAccountLabel, serviceAccountPrefix } from './scope.ts';

/** The labels as a list: name, value, name, value … */
export const labelList = (labels: Labels): LabelList => Object.entries(labels).flat();

/** A workload's own labels, and a label for its service account. Labels that only the profile of a namespace or service account may set are left out. */
export function workloadLabels({ labels, serviceAccount }: Pick<WorkloadEndpoint, 'labels' | 'serviceAccount'>): LabelList {
  const list: string[] = [];
  for (const name in labels) {
    if (name.startsWith(namespacePrefix) || name.startsWith(serviceAccountPrefix) || (serviceAccount && name === serviceAccountLabel)) continue;
    list.push(name, labels[name]!);
  }
  if (serviceAccount) list.push(serviceAccountLabel, serviceAccount);
  return list;
}
