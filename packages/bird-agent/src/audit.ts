// Which routes BIRD refuses, and of whom; and whether those that it took before something changed would still be taken.
import type { IpFamily } from '@calico-openstack/addresses';
import type { BirdControl } from './bird/control.ts';
import { elevatedPreference } from './bird/print.ts';
import { countRoutes, showRoutes } from './bird/routes.ts';
import { sessionStatuses } from './bird/sessions.ts';
import type { Problem } from './plan/facts.ts';

/** What a session's neighbour announces and may not: how many routes, and the first few of them, in order. */
export type Refusal = { readonly session: string; readonly count: number; readonly prefixes: readonly string[] };

const families = [4, 6] as const satisfies readonly IpFamily[];
/** So many are read one by one; of more it is only said how many there are. */
const mostRead = 5000;
const mostNamed = 3;

/** Asks BIRD which routes it refuses (bird/guards.ts), in order of the sessions. */
export async function refusals(control: BirdControl): Promise<readonly Refusal[]> {
  const bySession = new Map<string, string[]>();
  let uncounted = 0;
  for (const family of families) {
    const count = await countRoutes(control, family, { filtered: true, where: 'calico_refused()' });
    if (count > mostRead) uncounted += count;
    else if (count > 0)
      for (const { protocol, prefix } of await showRoutes(control, family, { filtered: true, where: 'calico_refused()' }))
        bySession.set(protocol, [...(bySession.get(protocol) ?? []), prefix]);
  }
  const named = [...bySession].map(([session, prefixes]): Refusal => ({ session, count: prefixes.length, prefixes: prefixes.sort().slice(0, mostNamed) }));
  return [...named, ...(uncounted > 0 ? [{ session: 'all', count: uncounted, prefixes: [] }] : [])].sort((a, b) => (a.session < b.session ? -1 : 1));
}

export function refusalProblem({ session, count, prefixes }: Refusal): Problem {
  const what = prefixes.length > 0 ? `${prefixes.join(', ')}${count > prefixes.length ? ' and more' : ''}` : 'thousands of routes';
  return {
    key: `session ${session}`,
    reason: `its neighbour announces ${what}: a default route, a network, or the address of a host or of etcd, which it cannot have`,
    effect: 'they are not used; where workloads are meant, WorkloadPrefixes or an IPPool can say so',
  };
}

/**
 * Has those sessions ask their neighbours anew whose routes were judged by what stood in the guards before: routes that must go now, those that may come, and those of workloads that
 * are known to be moving only since. No session
 * ends by it, and no other route moves. Who does not know how to send again (RFC 2918) is left as he is.
 */
export async function judgeAgain(control: BirdControl): Promise<readonly string[]> {
  const sessions = new Set<string>();
  for (const family of families) {
    const wrong = `source = RTS_BGP && (calico_refused() || (preference != ${elevatedPreference} && calico_elevated()))`;
    for (const { protocol } of await showRoutes(control, family, { where: wrong })) sessions.add(protocol);
    const [all, refused] = await Promise.all(['true', 'calico_refused()'].map((where) => countRoutes(control, family, { filtered: true, where })));
    if (all === refused || all! > mostRead) continue;
    for (const { protocol } of await showRoutes(control, family, { filtered: true, where: '! calico_refused()' })) sessions.add(protocol);
  }
  for (const session of sessions) await control.ask(`reload in '${session}'`);
  return [...sessions].sort();
}

/** A neighbour with more than this share of the routes that it may have is told of before it is held to them. */
const warnedShare = 0.8;

/** Who is near the limit of routes, or held to it (`MaxRoutesPerPeer`). */
export async function limitProblems(control: BirdControl, mostRoutes: number): Promise<readonly Problem[]> {
  return (await sessionStatuses(control)).flatMap(({ name, routes: { imported, filtered } }): Problem[] => {
    const received = imported + filtered;
    if (received < mostRoutes * warnedShare) return [];
    const isHeld = received >= mostRoutes;
    return [
      {
        key: `session ${name}`,
        reason: `its neighbour announces ${isHeld ? 'as many routes as' : 'nearly as many routes as'} MaxRoutesPerPeer lets it, ${mostRoutes}`,
        effect: isHeld ? 'more are not taken, those that are there stay' : 'more than that will not be taken',
      },
    ];
  });
}
