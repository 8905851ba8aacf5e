// Detects that etcd was restored from a backup or replaced by another etcd. Then etcd may hold rules that Neutron no longer has.
import { type Clock, type Loop, startLoop, systemClock } from '@calico-openstack/agent';
import { type Etcd, isSameEtcd, type Origin } from '@calico-openstack/etcd';

const lookMs = 5000;

/**
 * Wraps an etcd. Calls `onReplaced` when an answer has a lower revision than one that was seen before the request. A majority answers, so revisions never decrease by themselves.
 * It also reads every 5 s, so that a restored backup is noticed before others have written as many revisions again. If they have, the answer still comes from another cluster or an earlier
 * Raft term, unless the cluster was built anew as it was the first time, and no leader was elected in either.
 */
export function watchHistory(etcd: Etcd, onReplaced: (reason: string) => void, clock: Clock = systemClock): { readonly etcd: Etcd; readonly loop: Loop } {
  let highest = 0;
  /** Where the last look's answer came from; undefined when that is not known, or not comparable because a replacement was reported since. */
  let origin: Origin | undefined;

  function report(reason: string): void {
    origin = undefined;
    onReplaced(`${reason}: it was restored or replaced`);
  }

  async function noticed<Answer extends { readonly revision: number }>(ask: () => Promise<Answer>): Promise<Answer> {
    const before = highest;
    const answer = await ask();
    if (answer.revision < before) {
      // When several requests are pending, only the first answer is reported.
      if (highest >= before) report(`etcd is at revision ${answer.revision} and was at ${before} before`);
      highest = answer.revision;
    } else if (highest >= before) highest = Math.max(highest, answer.revision);
    return answer;
  }

  const noticing: Etcd = {
    ...etcd,
    get: (key) => noticed(() => etcd.get(key)),
    range: (prefix, options) => (options?.revision === undefined ? noticed(() => etcd.range(prefix, options)) : etcd.range(prefix, options)),
    transact: (when, then, otherwise) => noticed(() => etcd.transact(when, then, otherwise)),
  };
  const loop = startLoop({
    run: async () => {
      const { origin: now } = await noticing.get('/calico/');
      if (now.term === 0) return lookMs; // a proxy's answer
      if (origin && !isSameEtcd(now, origin))
        report(`etcd answers from cluster ${now.clusterId} in term ${now.term}, and was cluster ${origin.clusterId} in term ${origin.term} before`);
      origin = now;
      return lookMs;
    },
    onFailure: () => {}, // the users of etcd report that it does not answer
    backoff: { firstMs: 100, maxMs: lookMs },
    clock,
  });
  loop.wake();
  return { etcd: noticing, loop };
}
