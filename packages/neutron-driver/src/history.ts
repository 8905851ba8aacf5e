// Notices that etcd's history is not the one that was written to: a restored backup, another etcd in its place. Then etcd holds rules that Neutron has no more.
import { type Loop, startLoop } from '@calico-openstack/agent';
import type { Etcd } from '@calico-openstack/etcd';

const lookMs = 5000;

/**
 * The same etcd, and `onReplaced` when a revision comes that is older than one that was there before the question: a majority answers, so revisions never go back by themselves.
 * Looks every 5 s too, so that a backup is noticed before others have written as much again.
 */
export function watchHistory(etcd: Etcd, onReplaced: (reason: string) => void, everyMs = lookMs): { readonly etcd: Etcd; readonly loop: Loop } {
  let highest = 0;

  async function noticed<Answer extends { readonly revision: number }>(ask: () => Promise<Answer>): Promise<Answer> {
    const before = highest;
    const answer = await ask();
    if (answer.revision < before) {
      // Of several questions under way the first one tells.
      if (highest >= before) onReplaced(`etcd is at revision ${answer.revision}, and was at ${before}: restored or replaced`);
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
      await noticing.get('/calico/');
      return everyMs;
    },
    onFailure: () => {}, // who has something to do with etcd says so
  });
  loop.wake();
  return { etcd: noticing, loop };
}
