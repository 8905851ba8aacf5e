// Decides whether a datastore that may have lost its content may end sessions. The agents restore their own Nodes within seconds; only an operator can restore peers and passwords.

/** The facts on which the decision depends. */
export type Doubt = {
  /** BIRD's present configuration, and when it was written. */
  readonly current: string;
  readonly writtenMs: number;
  /** The configuration that follows from the datastore now. */
  readonly wanted: string;
  /** When this host's Node was created, in whole seconds; undefined when that is not known. */
  readonly nodeMadeMs: number | undefined;
  /** Whether the datastore has any BGP resource that only operators write. */
  readonly hasOperatorsWord: boolean;
  readonly nowMs: number;
};

/** Within this time every living agent registers its host again. */
export const returnMs = 60_000;

/**
 * The sessions for which BIRD's configuration stays unchanged; empty when it may change. A configuration is in doubt only if it is older than this host's Node: then it came from another
 * datastore than the present one. A session that would end, or lose its password, waits until the other hosts have had time to register; a session that an
 * operator wanted waits until an operator has written any BGP resource.
 */
export function sessionsInDoubt({ current, writtenMs, wanted, nodeMadeMs, hasOperatorsWord, nowMs }: Doubt): readonly string[] {
  if (nodeMadeMs === undefined || nodeMadeMs > nowMs || !isOlder(writtenMs, nodeMadeMs)) return [];
  const [before, after] = [sessionsIn(current), sessionsIn(wanted)];
  const byNeighbor = new Map([...after.values()].map((session) => [session.neighbor, session]));
  // A session with the same neighbour under another name is still wanted.
  const lost = [...before].filter(([symbol, { neighbor, hasPassword }]) => {
    const successor = after.get(symbol) ?? byNeighbor.get(neighbor);
    return !successor || (hasPassword && !successor.hasPassword);
  });
  const isOperators = ([symbol, { hasPassword }]: (typeof lost)[number]): boolean => hasPassword || /^'(peer|workload)[46]-/.test(symbol);
  const doubtful = nowMs < nodeMadeMs + returnMs ? lost : lost.filter((session) => !hasOperatorsWord && isOperators(session));
  return doubtful.map(([symbol]) => symbol);
}

/** Whether a configuration may have been written before the Node was created. */
export const isOlder = (writtenMs: number, nodeMadeMs: number): boolean => writtenMs < nodeMadeMs + 1000;

/** The sessions in a text that `printConfiguration` of this release, or of an earlier one without templates, has printed. */
const sessionsIn = (text: string): ReadonlyMap<string, { readonly neighbor: string; readonly hasPassword: boolean }> =>
  new Map(
    [...text.matchAll(/^protocol bgp ('[^'\n]*')(?: from \w+)?$([\s\S]*?)^\}$/gm)].map(([, symbol, body]) => [
      symbol!,
      { neighbor: /^ {2}neighbor (\S+) /m.exec(body!)?.[1] ?? symbol!, hasPassword: /^ {2}password /m.test(body!) },
    ]),
  );
