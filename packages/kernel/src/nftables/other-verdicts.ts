// Judges whether another program's chain drops all packets that a workload sends or gets. It determines the possible verdicts on an ordinary packet. Conditions on interfaces, protocol and
// connection state are decided; all others (addresses, marks, groups of interfaces) are assumed to hold or not. Pure.
import { hostIsLittleEndian } from '../netlink/attributes.ts';

/** A packet. A field has one value, or one of several; a field that is absent can have any. A field with no values has one that no rule names. */
export type OrdinaryPacket = { readonly [Field in OrdinaryField]?: readonly Uint8Array[] };
/** The fields of a packet that conditions are decided by. */
export type OrdinaryField =
  | 'iifname'
  | 'oifname'
  | 'iif'
  | 'oif'
  | 'nfproto'
  | 'l4proto'
  | 'protocol'
  | 'ctState'
  | 'ctStatus'
  | 'ctDirection'
  | 'sport'
  | 'dport'
  | 'icmpType';

/** A verdict of a rule. `else`: the rule has none, or one that lets the packet go on in the same chain. */
export type OtherVerdict = { readonly is: 'accept' | 'drop' | 'return' | 'else' } | { readonly is: 'jump' | 'goto'; readonly chain: string };

/** A condition of a rule, or its verdict. Expressions that neither match nor decide are left out. */
export type OtherStatement =
  | {
      readonly is: 'compare';
      readonly field: OrdinaryField | undefined;
      readonly mask: Uint8Array | undefined;
      readonly operator: number;
      readonly value: Uint8Array;
    }
  | {
      readonly is: 'lookup';
      readonly field: OrdinaryField | undefined;
      readonly mask: Uint8Array | undefined;
      readonly set: string;
      readonly inverted: boolean;
      readonly gives: 'verdict' | 'other' | undefined;
    }
  /** A condition that holds for an ordinary packet (`yes`), does not (`no`), or may (`maybe`). */
  | { readonly is: 'condition'; readonly holds: Truth }
  | { readonly is: 'verdict'; readonly verdict: OtherVerdict };

/** The elements of a set as far as they are known: keys, and verdicts in a verdict map. */
export type OtherSet = readonly { readonly key: Uint8Array; readonly verdict?: OtherVerdict }[];

/** A table of another program: its chains, and the sets that its rules look into. The elements of a set that is missing here are not known. */
export type OtherTable = {
  readonly chains: ReadonlyMap<string, readonly (readonly OtherStatement[])[]>;
  readonly sets: ReadonlyMap<string, OtherSet>;
};

/** Whether a condition holds. */
export type Truth = 'yes' | 'no' | 'maybe';

/** The possible results for a packet in a chain, as a sum of these bits. `falls` means that it reaches the end of the chain. */
const [accepts, drops, falls] = [1, 2, 4] as const;
const deepest = 16;

/** Whether the chain drops the packet whatever the conditions that are not decided say. @param policy the verdict at the end of the chain */
export function dropsAll(table: OtherTable, chain: string, policy: 'accept' | 'drop', packet: OrdinaryPacket): boolean {
  const known = new Map<string, number>();
  const outcome = judgeChain(table, chain, packet, known, 0);
  const final = outcome & falls ? outcome | (policy === 'accept' ? accepts : drops) : outcome;
  return (final & accepts) === 0;
}

function judgeChain(table: OtherTable, name: string, packet: OrdinaryPacket, known: Map<string, number>, depth: number): number {
  const before = known.get(name);
  if (before !== undefined) return before;
  if (depth > deepest) return accepts | drops | falls;
  let outcome = 0;
  for (const rule of table.chains.get(name) ?? []) {
    const { may, ends } = judgeRule(table, rule, packet, known, depth);
    outcome |= may;
    if (ends) {
      known.set(name, outcome);
      return outcome;
    }
  }
  known.set(name, outcome | falls);
  return outcome | falls;
}

/** The possible results of a rule, and whether no later rule of the chain can see the packet. */
type RuleOutcome = { readonly may: number; readonly ends: boolean };
const goesOn: RuleOutcome = { may: 0, ends: false };

function judgeRule(table: OtherTable, rule: readonly OtherStatement[], packet: OrdinaryPacket, known: Map<string, number>, depth: number): RuleOutcome {
  let holds: Truth = 'yes';
  for (const statement of rule) {
    if (statement.is === 'verdict') return decided(table, [statement.verdict], holds, packet, known, depth);
    if (statement.is === 'lookup' && statement.gives === 'verdict') {
      const found = lookUp(table, statement, packet);
      if (found.length === 0) return goesOn;
      const certain = found.length === 1 && found[0]!.certain ? holds : 'maybe';
      return decided(
        table,
        found.map(({ verdict }) => verdict),
        certain,
        packet,
        known,
        depth,
      );
    }
    const truth = truthOf(table, statement, packet);
    if (truth === 'no') return goesOn;
    if (truth === 'maybe') holds = 'maybe';
  }
  return goesOn;
}

function decided(
  table: OtherTable,
  verdicts: readonly OtherVerdict[],
  holds: Truth,
  packet: OrdinaryPacket,
  known: Map<string, number>,
  depth: number,
): RuleOutcome {
  let may = 0;
  let ends = holds === 'yes';
  for (const verdict of verdicts) {
    switch (verdict.is) {
      case 'accept':
        may |= accepts;
        break;
      case 'drop':
        may |= drops;
        break;
      case 'return':
        may |= falls;
        break;
      case 'else':
        ends = false;
        break;
      case 'goto':
        may |= judgeChain(table, verdict.chain, packet, known, depth + 1);
        break;
      case 'jump': {
        const inside = judgeChain(table, verdict.chain, packet, known, depth + 1);
        may |= inside & ~falls;
        if (inside & falls) ends = false;
        break;
      }
      default:
        return verdict satisfies never;
    }
  }
  return { may, ends };
}

function truthOf(table: OtherTable, statement: Exclude<OtherStatement, { is: 'verdict' }>, packet: OrdinaryPacket): Truth {
  switch (statement.is) {
    case 'condition':
      return statement.holds;
    case 'compare': {
      const values = valuesOf(statement, packet);
      return values ? compared(values, statement.operator, statement.value) : 'maybe';
    }
    case 'lookup': {
      const values = valuesOf(statement, packet);
      const set = table.sets.get(statement.set);
      if (!values || !set) return 'maybe';
      const isIn = (value: Uint8Array): boolean => set.some(({ key }) => beginsWith(value, key));
      return oneOf(values, (value) => isIn(value) !== statement.inverted, statement.inverted);
    }
    default:
      return statement satisfies never;
  }
}

/** The verdicts that a map may give; `certain` when the packet has this key and no other. */
function lookUp(
  table: OtherTable,
  statement: OtherStatement & { is: 'lookup' },
  packet: OrdinaryPacket,
): { readonly verdict: OtherVerdict; readonly certain: boolean }[] {
  const values = valuesOf(statement, packet);
  const set = table.sets.get(statement.set);
  if (!set) return [{ verdict: { is: 'accept' }, certain: false }]; // the elements are not known, so the verdict may be accept
  return set
    .filter(({ key }) => !values || values.some((value) => beginsWith(value, key)))
    .map(({ verdict = { is: 'else' } as const }) => ({ verdict, certain: values?.length === 1 }));
}

function valuesOf(
  { field, mask }: { readonly field: OrdinaryField | undefined; readonly mask: Uint8Array | undefined },
  packet: OrdinaryPacket,
): readonly Uint8Array[] | undefined {
  const values = field && packet[field];
  if (!values || !mask) return values;
  return values.length === 0 ? undefined : values.map((value) => value.map((byte, index) => byte & (mask[index] ?? 0)));
}

/** NFT_CMP_*: equal, not equal, less, less or equal, greater, greater or equal. Values are compared byte by byte, up to the length of the rule's. */
function compared(values: readonly Uint8Array[], operator: number, operand: Uint8Array): Truth {
  if (operator > 1 && values.length === 0) return 'maybe';
  return oneOf(
    values,
    (value) => {
      const order = Buffer.compare(value.subarray(0, operand.length), operand);
      return [order === 0, order !== 0, order < 0, order <= 0, order > 0, order >= 0][operator] ?? false;
    },
    operator === 1,
  );
}

/** @param ofOthers whether the condition holds for a value that no rule names */
function oneOf(values: readonly Uint8Array[], holds: (value: Uint8Array) => boolean, ofOthers: boolean): Truth {
  if (values.length === 0) return ofOthers ? 'yes' : 'no';
  const held = values.filter(holds).length;
  return held === values.length ? 'yes' : held === 0 ? 'no' : 'maybe';
}

const beginsWith = (value: Uint8Array, key: Uint8Array): boolean => Buffer.compare(value.subarray(0, key.length), key) === 0;

/** The name of a link as rules have it. */
export function linkNameBytes(name: string): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes.set(Buffer.from(name).subarray(0, 15));
  return bytes;
}

/** A number of 32 bits in the host's order. */
export function hostU32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, hostIsLittleEndian);
  return bytes;
}
