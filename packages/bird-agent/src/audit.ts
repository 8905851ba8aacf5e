// Finds the routes that BIRD refuses, by neighbour, and the routes that would be judged differently after a change of the guards.
import type { IpFamily } from '@calico-openstack/addresses';
import type { BirdControl } from './bird/control.ts';
import { judgeSessionAgain } from './bird/daemon.ts';
import { elevatedPreference } from './bird/print.ts';
import { countRoutes, showRoutes } from './bird/routes.ts';
import { sessionStatuses } from './bird/sessions.ts';
import type { Problem } from './plan/facts.ts';

/** The refused routes of a session: how many, and the first few prefixes, in order. */
export type Refusal = { readonly session: string; readonly count: number; readonly prefixes: readonly string[] };

const families = [4, 6] as const satisfies readonly IpFamily[];
/** Up to this number the routes are read one by one. Beyond it they are only counted. */
const mostRead = 5000;
const mostNamed = 3;

/** Selects the routes of all sessions but those with workloads (plan/workload-sessions.ts). Those are queried separately, so that a guest that announces many routes hides no refusals of other sessions. */
const isNoGuests = 'proto !~ "workload*"';

/** The sessions with workloads of whose routes some are refused. Accepted are the workload's own addresses, and routes that the operator's filters accept. */
async function guestRefusals(control: BirdControl): Promise<readonly Refusal[]> {
  const guests = (await sessionStatuses(control, 'workload*')).filter(({ routes }) => routes.filtered > 0);
  const refused: Refusal[] = [];
  for (const { name, routes } of guests) {
    const shown: string[] = [];
    for (const family of families)
      for (const { prefix } of await showRoutes(control, family, { filtered: true, where: `proto = "${name}"` })) shown.push(prefix);
    refused.push({ session: name, count: routes.filtered, prefixes: shown.sort().slice(0, mostNamed) });
  }
  return refused;
}

/** Asks BIRD which routes it refuses (bird/guards.ts). Sorted by session. */
export async function refusals(control: BirdControl): Promise<readonly Refusal[]> {
  const bySession = new Map<string, string[]>();
  let uncounted = 0;
  for (const family of families) {
    const where = `calico_refused() && ${isNoGuests}`;
    const count = await countRoutes(control, family, { filtered: true, where });
    if (count > mostRead) uncounted += count;
    else if (count > 0)
      for (const { protocol, prefix } of await showRoutes(control, family, { filtered: true, where }))
        bySession.set(protocol, [...(bySession.get(protocol) ?? []), prefix]);
  }
  const named = [...bySession].map(([session, prefixes]): Refusal => ({ session, count: prefixes.length, prefixes: prefixes.sort().slice(0, mostNamed) }));
  return [...named, ...(await guestRefusals(control)), ...(uncounted > 0 ? [{ session: 'all', count: uncounted, prefixes: [] }] : [])].sort((a, b) =>
    a.session < b.session ? -1 : 1,
  );
}

/** A refusal as a problem to report. */
export function refusalProblem({ session, count, prefixes }: Refusal): Problem {
  const isGuests = session.startsWith('workload');
  const what = prefixes.length > 0 ? `${prefixes.join(', ')}${count > prefixes.length ? ' and more' : ''}` : 'thousands of routes';
  if (isGuests)
    return {
      key: `session ${session}`,
      reason: `the guest announces ${what}, which is neither an address of its port nor what a BGPFilter of its BGPPeer accepts, or does not lead to itself`,
      effect: 'they are not used; a prefix that it is to have needs a BGPFilter that accepts it, and WorkloadPrefixes or an IPPool',
    };
  return {
    key: `session ${session}`,
    reason: `its neighbour announces ${what}: a default route, a network, or the address of a host, of etcd or of a BGPPeer, which it cannot have`,
    effect: 'they are not used; where workloads are meant, WorkloadPrefixes or an IPPool can say so',
  };
}

/**
 * After a change of the guards, makes sessions ask their neighbours to send their routes again when some would be judged differently now: routes that must go, routes that are
 * allowed now, and routes of workloads that are only now known to be migrating.
 * No session ends, and no other route changes. A neighbour that cannot send again (RFC 2918) is skipped.
 */
export async function judgeAgain(control: BirdControl): Promise<readonly string[]> {
  const sessions = new Set<string>();
  for (const family of families) {
    const wrong = `source = RTS_BGP && (calico_refused() || (preference != ${elevatedPreference} && calico_elevated()))`;
    for (const { protocol } of await showRoutes(control, family, { where: wrong })) sessions.add(protocol);
    const [all, refused] = await Promise.all(
      ['true', 'calico_refused()'].map((where) => countRoutes(control, family, { filtered: true, where: `${where} && ${isNoGuests}` })),
    );
    if (all === refused || all! > mostRead) continue;
    for (const { protocol } of await showRoutes(control, family, { filtered: true, where: `! calico_refused() && ${isNoGuests}` })) sessions.add(protocol);
  }
  for (const { session } of await guestRefusals(control)) sessions.add(session);
  for (const session of sessions) await judgeSessionAgain(control, session);
  return [...sessions].sort();
}

/** Above this share of the allowed number of routes, a neighbour is reported before the limit is reached. */
const warnedShare = 0.8;

/** Reports neighbours that are near the limit of routes (`MaxRoutesPerPeer`), or have reached it. */
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
