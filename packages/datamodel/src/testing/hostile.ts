// Generates corrupt values and keys, for the property tests of every reader and for storms over running agents. The same seed gives the same sequence.

/** A kind of key: its prefix, examples of valid values, and names for its keys. */
export type HostileKind = {
  readonly prefix: string;
  readonly examples: readonly object[];
  /** Names that mean something to a reader; the generator adds others. */
  readonly names: readonly string[];
};
/** One write. The key may hold bytes that are not UTF-8, as lone surrogates U+DC80 to U+DCFF. Without a value it is a deletion. */
export type HostileWrite = { readonly key: string; readonly value: Uint8Array | undefined };

/** A generator of random numbers from 0 to below 1 (mulberry32): reproducible, and fast enough for millions. */
export function chance(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** JSON text that JSON.stringify cannot produce. */
class Raw {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

const deepObject = (depth: number): Raw => new Raw(`${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`);
const deepList = (depth: number): Raw => new Raw(`${'['.repeat(depth)}${']'.repeat(depth)}`);
const listOf = (count: number, entry: (index: number) => unknown): unknown[] => Array.from({ length: count }, (_, index) => entry(index));

/** Substitutes for parts of a value. They are functions, so that each is a new object; the large ones below are used rarely. */
const small: readonly (() => unknown)[] = [
  () => null,
  () => true,
  () => [],
  () => ({}),
  () => [[]],
  () => [null],
  () => [{}],
  () => '',
  () => ' ',
  () => '\0',
  () => '\n\u001b[31mred"};',
  () => '%s%n{}$(reboot)`',
  () => '../../..',
  () => '__proto__',
  () => 'constructor',
  () => new Raw('"\\ud800"'),
  () => '\u{1f600}\u202e',
  () => -1,
  () => 0.1,
  () => 65536,
  () => new Raw('1e999'),
  () => new Raw('-1e999'),
  () => new Raw('1e-999'),
  () => new Raw('-0'),
  () => new Raw('9007199254740993'),
  () => new Raw('{"__proto__":{"x":1},"constructor":2}'),
  () => new Raw('{"toString":1,"valueOf":null,"toJSON":3,"toLowerCase":4,"length":-1,"then":5}'),
  () => new Raw('[{"toString":1}]'),
  () => '0.0.0.0/0',
  () => '::ffff:10.0.0.1',
  () => '999.1.1.1/33',
  () => 'all()',
  () => "a == 'b' && !(has(c) || d in {'e', 'f',})",
  () => '((((((((((((',
  () => deepObject(99),
  () => deepList(101),
];
const large: readonly (() => unknown)[] = [
  () => deepObject(5000),
  () => deepList(100_000),
  () => 'x'.repeat(100_000),
  () => '1'.repeat(50_000),
  () => '('.repeat(50_000),
  () => '!'.repeat(50_000),
  () => `a in {${listOf(3000, (index) => `'${index}'`).join()}}`,
  () => listOf(3000, (index) => `a == '${index}'`).join(' || '),
  () => listOf(3000, (index) => `10.201.${index >> 8}.${index & 255}/32`),
  () => listOf(3000, (index) => `name${index}`),
  () => listOf(3000, (index) => index),
  () => listOf(500, () => ({ action: 'Deny', protocol: 'TCP', source: { selector: 'never == "so"' } })),
  () => Object.fromEntries(listOf(3000, (index) => [`l${index}`, 'x']) as [string, string][]),
];

/** Substitutes that have crashed agents. Each of them is tried at each place of each example before the random writes begin. */
const worst: readonly (() => unknown)[] = [() => deepList(20_000), () => ({ toString: 1, valueOf: 2 }), () => [{ toString: 1 }], () => null];

function* everywhere(value: unknown, substitute: () => unknown): Generator<unknown> {
  yield substitute();
  if (typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) for (const [at, entry] of value.entries()) for (const spoilt of everywhere(entry, substitute)) yield value.with(at, spoilt);
  else for (const [name, content] of Object.entries(value)) for (const spoilt of everywhere(content, substitute)) yield { ...value, [name]: spoilt };
}

/** Writes with each of the worst substitutes at every place, one after the other, alternating between the first two names of each kind. */
export function* worstWrites(kinds: readonly HostileKind[]): Generator<HostileWrite> {
  let count = 0;
  for (const { prefix, names, examples } of kinds)
    for (const example of examples)
      for (const substitute of worst)
        for (const spoilt of everywhere(example, substitute)) {
          count += 1;
          yield { key: `${prefix}${names[count % Math.min(2, names.length)]}`, value: Buffer.from(print(spoilt)) };
        }
}

/** Returns a function that makes the next hostile write: first all of `worstWrites`, then random ones. */
export function hostileWrites(kinds: readonly HostileKind[], seed: number): () => HostileWrite {
  const first = worstWrites(kinds);
  const random = chance(seed);
  const below = (count: number): number => Math.floor(random() * count);
  const pick = <T>(among: readonly T[]): T => among[below(among.length)]!;
  const substitute = (): unknown => (below(60) === 0 ? pick(large) : pick(small))();

  /** A copy of a value with one place corrupted. */
  function mutate(value: unknown): unknown {
    if (typeof value !== 'object' || value === null || value instanceof Raw || below(6) === 0) return substitute();
    if (Array.isArray(value)) {
      const copy: unknown[] = [...value];
      const at = below(copy.length + 1);
      const change = below(6);
      if (at === copy.length) copy.push(substitute());
      else if (change === 0) copy.splice(at, 1);
      else if (change === 1) copy.push(copy[at]);
      else copy[at] = mutate(copy[at]);
      return copy;
    }
    const entries = entriesOf(value);
    const at = below(entries.length + 1);
    const [name, content] = entries[at] ?? [pick(['x', '', '__proto__', 'toString', 'Selector', 'hasOwnProperty']), undefined];
    if (at === entries.length) entries.push([name, substitute()]);
    else if (below(6) === 0) entries.splice(at, 1);
    else if (below(10) === 0) entries[at] = [name.toUpperCase(), content];
    else entries[at] = [name, mutate(content)];
    return new Map(entries);
  }

  function textOf(kind: HostileKind): string {
    const entire = below(40);
    if (entire === 0) return print(substitute());
    let value: unknown = pick(kind.examples);
    for (let times = below(4); times > 0; times -= 1) value = mutate(value);
    return print(value);
  }

  function bytesOf(kind: HostileKind): Uint8Array {
    const bytes = Buffer.from(textOf(kind));
    const spoil = below(16);
    if (spoil === 0) return bytes.subarray(0, below(bytes.length + 1));
    if (spoil === 1 && bytes.length > 0) bytes[below(bytes.length)] = below(256);
    if (spoil === 2) return Buffer.concat([bytes, Buffer.of(below(256))]);
    return bytes;
  }

  const oddNames = [
    '',
    '/',
    'a/b/c',
    '__proto__',
    'constructor',
    '..',
    '\n\u001b[31mred',
    '\ufffd',
    'x'.repeat(1000),
    '%2f',
    '-',
    '----',
    'ü',
    '\u{dcff}',
    'a\u{dce2}\u{dc82}',
  ];
  return () => {
    const { value: write } = first.next() as { value: HostileWrite | undefined };
    if (write) return write;
    const kind = pick(kinds);
    const odd = below(12);
    const name = odd === 0 ? pick(oddNames) : odd === 1 ? `${pick(kind.names)}${String.fromCharCode(0xdc80 + below(128))}` : pick(kind.names);
    return { key: `${kind.prefix}${name}`, value: below(10) === 0 ? undefined : bytesOf(kind) };
  };
}

/** The entries of an object. `mutate` turns objects into Maps, because `__proto__` is an ordinary key there. */
const entriesOf = (value: object): [string, unknown][] => (value instanceof Map ? [...(value as Map<string, unknown>)] : Object.entries(value));

function print(value: unknown): string {
  if (value instanceof Raw) return value.text;
  if (Array.isArray(value)) return `[${value.map(print).join()}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  return `{${entriesOf(value)
    .map(([name, content]) => `${JSON.stringify(name)}:${print(content)}`)
    .join()}}`;
}
