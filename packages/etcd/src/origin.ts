// Tells one etcd from another that was restored or put in its place.

/** Which etcd answered: the cluster's id, and the Raft term, which never decreases while the cluster lives. Some answers of etcd's grpc-proxy have zeros. */
export type Origin = { readonly clusterId: string; readonly term: number };

/** Whether an answer can come from the etcd that gave an earlier one. */
export const isSameEtcd = (now: Origin, before: Origin): boolean => now.clusterId === before.clusterId && now.term >= before.term;
