// Whether a datastore that has lost its content may end sessions. The agents put their Nodes back within seconds, each its own; nobody but an operator can put back peers and passwords.

export type Doubt = {
  /** BIRD's configuration as it is, and when it was written. */
  readonly current: string;
  readonly writtenMs: number;
  /** What the datastore asks for now. */
  readonly wanted: string;
  /** When this host's Node was made, in whole seconds. undefined: nobody says. */
  readonly nodeMadeMs: number | undefined;
  /** Whether the datastore holds anything of BGP that only operators write. */
  readonly hasOperatorsWord: boolean;
  readonly nowMs: number;
};

/** By then every agent that lives has registered its host. */
export const returnMs = 60_000;

/**
 * The sessions for whose sake BIRD's configuration stays as it is; none: it need not. Only a configuration that is older than this host's Node is in doubt: the datastore that
 * asked for it is not the one that asks now. A session that ends, or would go on without its password, waits for the other hosts to register; and where it was an
 * operator's wish, until an operator says anything at all.
 */
export function sessionsInDoubt({ current, writtenMs, wanted, nodeMadeMs, hasOperatorsWord, nowMs }: Doubt): readonly string[] {
  if (nodeMadeMs === undefined || nodeMadeMs > nowMs || !isOlder(writtenMs, nodeMadeMs)) return [];
  const [before, after] = [sessionsIn(current), sessionsIn(wanted)];
  const byNeighbor = new Map([...after.values()].map((session) => [session.neighbor, session]));
  // Under another name a session with the same neighbour is still asked for.
  const lost = [...before].filter(([symbol, { neighbor, hasPassword }]) => {
    const successor = after.get(symbol) ?? byNeighbor.get(neighbor);
    return !successor || (hasPassword && !successor.hasPassword);
  });
  const isOperators = ([symbol, { hasPassword }]: (typeof lost)[number]): boolean => hasPassword || symbol.startsWith("'peer");
  const doubtful = nowMs < nodeMadeMs + returnMs ? lost : lost.filter((session) => !hasOperatorsWord && isOperators(session));
  return doubtful.map(([symbol]) => symbol);
}

/** Whether a configuration may have been written before the Node was made. */
export const isOlder = (writtenMs: number, nodeMadeMs: number): boolean => writtenMs < nodeMadeMs + 1000;

/** As `printConfiguration` writes them. */
const sessionsIn = (text: string): ReadonlyMap<string, { readonly neighbor: string; readonly hasPassword: boolean }> =>
  new Map(
    [...text.matchAll(/^protocol bgp ('[^'\n]*')$([\s\S]*?)^\}$/gm)].map(([, symbol, body]) => [
      symbol!,
      { neighbor: /^ {2}neighbor (\S+) /m.exec(body!)?.[1] ?? symbol!, hasPassword: /^ {2}password /m.test(body!) },
    ]),
  );
