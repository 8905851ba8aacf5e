// Computes which operations make a table hold the wanted content: the core of the driver, without I/O.
import type { NftChain, NftElement, NftSet } from './objects.ts';
import { type HeldChain, type HeldSet, inOrder, type Operation, sameElement, sameRules } from './operations.ts';
import { printDefinition, printHook } from './print.ts';
import { lookupsOf } from './validate.ts';

/** A wanted chain. `hook` is printHook's text, `encoded` its rules in encodeRule's form. */
export type WantedChain = { readonly chain: NftChain; readonly hook: string; readonly encoded: readonly Uint8Array[] };

/** A wanted set, with its elements by elementId. `changed`: the elements that may differ from those in the kernel, or 'all' to compare each of them. */
export type WantedSet = {
  readonly set: NftSet;
  readonly definition: string;
  readonly elements: ReadonlyMap<string, NftElement>;
  readonly changed: ReadonlySet<string> | 'all';
};

/** What `difference` compares. */
export type Difference = {
  readonly wantedChains: ReadonlyMap<string, WantedChain>;
  readonly wantedSets: ReadonlyMap<string, WantedSet>;
  readonly heldChains: ReadonlyMap<string, HeldChain>;
  readonly heldSets: ReadonlyMap<string, HeldSet>;
  /** The names of the chains and sets to compare; no others can have changed. */
  readonly chains: ReadonlySet<string>;
  readonly sets: ReadonlySet<string>;
  /** Operations that delete objects of kinds that this program never creates. */
  readonly leftovers: readonly Operation[];
  /** Whether to put everything into one transaction. */
  readonly together: boolean;
};

type Stages = { readonly come: Operation[]; readonly change: Operation[]; readonly go: Operation[] };

/** A chain's hook as text for comparison; '' for a regular chain. */
export const hookText = (chain: NftChain): string => (chain.hook === undefined ? '' : printHook(chain.hook));
/** A set's definition as text for comparison. */
export const definitionText = (set: NftSet): string => printDefinition(set);

/**
 * A transaction is atomic for packets that arrive after it, but not for those in flight. A packet in flight stays in the chains that it found when it entered its hook. But its
 * lookups see the present content of sets and maps, a new chain is empty for it, and a new set of ranges may still look empty. So changes are committed in up to three
 * transactions; in each of them, a packet in flight finds either the whole old state or the whole new one:
 *
 * come: everything that nothing leads to yet. New sets with their elements, new chains with their rules, and elements with new keys in maps by number.
 * change: everything that something leads to. Here packets pass from the old state to the new.
 * go: everything that nothing leads to any more. Sets, chains, and elements in maps by number.
 *
 * A map by number has marks as keys and verdicts as values. Another map (`via`) gives the number, and so decides whether an element is reached. The numbers that the other map
 * gives must exist in this one, both in the held content and in the wanted content.
 *
 * When the first chain is added to a hook, or one moves to another hook, packets bypass our rules until then. In that case nothing is done beforehand, and everything is one transaction.
 * A chain at a hook that is added beside others waits for what it leads to, because its packets may already be on their way through the others.
 *
 * Returns the transactions; none of them is empty. In each, every operation finds what it needs, and nothing that it deletes is still in use.
 */
export function difference(of: Difference): readonly (readonly Operation[])[] {
  const { wantedChains, wantedSets, heldChains, heldSets, chains, sets } = of;
  const isHooked = (): boolean => [...heldChains.values()].some(({ hook }) => hook !== '');
  const rehooked = [...chains].some((name) => {
    const [wanted, held] = [wantedChains.get(name), heldChains.get(name)];
    return wanted !== undefined && wanted.hook !== (held?.hook ?? '') && (held !== undefined || !isHooked());
  });
  const change: Operation[] = [];
  const stages: Stages = of.together || rehooked ? { come: change, change, go: change } : { come: [], change, go: [] };
  const remade = new Set([...sets].filter((name) => isRemade(wantedSets.get(name), heldSets.get(name))));
  const early = earlyChains(of, remade);
  changeChains(of, remade, early, stages);
  changeSets(of, remade, (chain) => heldChains.has(chain) || early.has(chain), stages);
  stages.go.push(...of.leftovers); // nothing uses them by then
  return [...new Set([stages.come, change, stages.go])].filter((operations) => operations.length > 0).map(inOrder);
}

/** The new regular chains, except those that have to wait until a set was recreated: their rules use the set, or lead to such a chain. */
function earlyChains({ wantedChains, heldChains, chains }: Difference, remade: ReadonlySet<string>): ReadonlySet<string> {
  const early = new Map(
    [...chains].flatMap((name) => {
      const wanted = wantedChains.get(name);
      return wanted === undefined || wanted.hook !== '' || heldChains.has(name) ? [] : [[name, wanted.chain] as const];
    }),
  );
  const late = new Set<string>();
  let found = remade.size > 0;
  while (found) {
    found = false;
    for (const [name, chain] of early) {
      if (!usesAny(chain, remade) && !leadsToAny(chain, late)) continue;
      early.delete(name);
      late.add(name);
      found = true;
    }
  }
  return new Set(early.keys());
}

function changeChains(
  { wantedChains, heldChains, chains }: Difference,
  remade: ReadonlySet<string>,
  early: ReadonlySet<string>,
  { come, change, go }: Stages,
): void {
  const filled = new Set<string>();

  function fill(stage: Operation[], { chain, encoded }: WantedChain): void {
    filled.add(chain.name);
    if (encoded.length > 0) stage.push({ verb: 'add rules', chain, encoded });
  }

  function flush(stage: Operation[], name: string, { rules }: HeldChain): void {
    if (rules.length > 0) stage.push({ verb: 'flush chain', chain: name });
  }

  for (const name of chains) {
    const [wanted, held] = [wantedChains.get(name), heldChains.get(name)];
    if (wanted !== undefined && held !== undefined && wanted.hook === held.hook) {
      if (sameRules(held.rules, wanted.encoded)) continue;
      flush(change, name, held);
      fill(change, wanted);
      continue;
    }
    if (held !== undefined) {
      const stage = wanted === undefined && held.hook === '' ? go : change; // a base chain is reached by its hook
      flush(remade.size > 0 ? change : stage, name, held); // its rules may use a set that is recreated
      stage.push({ verb: 'delete chain', chain: name });
    }
    if (wanted !== undefined) {
      const stage = early.has(name) ? come : change;
      stage.push({ verb: 'add chain', chain: wanted.chain });
      fill(stage, wanted);
    }
  }

  // This is rare. All chains are compared then, because only their rules tell which of them use a set.
  if (remade.size === 0) return;
  for (const [name, wanted] of wantedChains) {
    if (!usesAny(wanted.chain, remade) || filled.has(name)) continue;
    change.push({ verb: 'flush chain', chain: name });
    fill(change, wanted);
  }
}

function changeSets(
  { wantedSets, heldSets, sets }: Difference,
  remade: ReadonlySet<string>,
  isThereEarly: (chain: string) => boolean,
  { come, change, go }: Stages,
): void {
  function elements(verb: 'add elements' | 'delete elements', stage: Operation[], set: NftSet, list: readonly NftElement[]): void {
    if (list.length > 0) stage.push({ verb, set, elements: list });
  }

  /** Adds elements early, except those that lead to a chain that does not exist yet. */
  function addEarly(set: NftSet, list: readonly NftElement[]): void {
    const canCome = ({ verdict }: NftElement): boolean => verdict === undefined || !('chain' in verdict) || isThereEarly(verdict.chain);
    const late = set.data === 'verdict' ? list.filter((element) => !canCome(element)) : [];
    elements('add elements', come, set, late.length === 0 ? list : list.filter(canCome));
    elements('add elements', change, set, late);
  }

  for (const name of sets) {
    const [wanted, held] = [wantedSets.get(name), heldSets.get(name)];
    if (wanted === undefined) {
      if (held !== undefined) go.push({ verb: 'delete set', set: name });
    } else if (held === undefined) {
      come.push({ verb: 'add set', set: wanted.set });
      addEarly(wanted.set, [...wanted.elements.values()]);
    } else if (remade.has(name)) {
      change.push({ verb: 'delete set', set: name }, { verb: 'add set', set: wanted.set });
      elements('add elements', change, wanted.set, [...wanted.elements.values()]);
    } else {
      const { gone, fresh, before, after } = elementDifference(wanted, held);
      const byNumber = isByNumber(wanted.set);
      elements('delete elements', change, wanted.set, byNumber ? before : [...before, ...gone]);
      elements('delete elements', go, wanted.set, byNumber ? gone : []);
      if (byNumber) addEarly(wanted.set, fresh);
      elements('add elements', change, wanted.set, byNumber ? after : [...after, ...fresh]);
    }
  }
}

const isRemade = (wanted: WantedSet | undefined, held: HeldSet | undefined): boolean =>
  wanted !== undefined && held !== undefined && wanted.definition !== held.definition;

const isByNumber = ({ key, data }: NftSet): boolean => data === 'verdict' && key.length === 1 && key[0] === 'mark';

/** How elements differ: `gone` are held and not wanted, `fresh` are wanted and not held; for keys with changed content, `before` is the held element and `after` the wanted one. */
type ElementDifference = { readonly [what in 'gone' | 'fresh' | 'before' | 'after']: readonly NftElement[] };

function elementDifference(wanted: WantedSet, held: HeldSet): ElementDifference {
  const [gone, fresh, before, after]: [NftElement[], NftElement[], NftElement[], NftElement[]] = [[], [], [], []];
  const compare = (id: string): void => {
    const [have, want] = [held.elements.get(id), wanted.elements.get(id)];
    if (have !== undefined && want !== undefined) {
      if (sameElement(have, want)) return;
      before.push(have);
      after.push(want);
    } else if (have !== undefined) gone.push(have);
    else if (want !== undefined) fresh.push(want);
  };
  if (wanted.changed !== 'all') {
    for (const id of wanted.changed) compare(id);
  } else {
    for (const id of held.elements.keys()) compare(id);
    for (const id of wanted.elements.keys()) if (!held.elements.has(id)) compare(id);
  }
  return { gone, fresh, before, after };
}

const usesAny = (chain: NftChain, sets: ReadonlySet<string>): boolean =>
  chain.rules.some((rule) => rule.statements.some((statement) => lookupsOf(statement).some(({ set }) => sets.has(set))));
const leadsToAny = (chain: NftChain, chains: ReadonlySet<string>): boolean =>
  chain.rules.some((rule) => rule.statements.some((statement) => statement.is === 'verdict' && 'chain' in statement && chains.has(statement.chain)));
