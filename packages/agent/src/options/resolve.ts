// Resolves a table of options: finds each option's value among the sources, in order of precedence, and collects complaints.
import { StartError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { shownValue } from './ini.ts';
import type { Dialect, Option, Table, Values } from './option.ts';

/** One place where options are set. */
export type Source = {
  /** The place's name in messages: `environment`, a file's path, `FelixConfiguration default`. */
  readonly name: string;
  readonly dialect: Dialect;
  /** Texts by the options' names, which are in lower case except in neutron.conf. */
  readonly texts: ReadonlyMap<string, string>;
};

/** Something about an option that whoever set it should know. */
export type Complaint = {
  /** The option's name in its place: `HealthPort`, `[calico] etcd_host`. Empty when the complaint is about a whole source. */
  readonly option: string;
  /** The source's name. */
  readonly source: string;
  /** The option's text as a message may show it. */
  readonly value: string;
  /** What is wrong, and what was done instead. */
  readonly problem: string;
  /** Whether the agent must not start. */
  readonly stops?: true;
};

/** An option that a source sets and the table does not have. */
export type Unknown = { readonly name: string; readonly text: string; readonly source: Source };

/** The result of resolving a table. */
export type Resolution<T extends Table> = {
  readonly table: T;
  readonly values: Values<T>;
  readonly complaints: readonly Complaint[];
  /** The source and the text of each option that a source has set. */
  readonly setBy: ReadonlyMap<keyof T & string, { readonly source: string; readonly text: string }>;
  /** Options that the sources set and the table does not have. Most of neutron.conf is among them, because the file belongs to many programs. */
  readonly unknown: readonly Unknown[];
};

/**
 * Reads each option from the first source that has a valid text for it. It does not throw: what must stop the start is among the complaints, for which see `inForce`.
 * @param sources the first has precedence
 * @param lastGood the values in force while the agent runs: a required option with an invalid text keeps its value of these. Undefined at the start, which such a text stops.
 */
export function resolveOptions<T extends Table>(table: T, sources: readonly Source[], lastGood?: Values<T>): Resolution<T> {
  const complaints: Complaint[] = [];
  const values: Record<string, unknown> = {};
  const setBy = new Map<keyof T & string, { source: string; text: string }>();
  for (const [key, option] of Object.entries(table)) {
    values[key] = option.default;
    for (const { source, label, text } of textsOf(key, option, sources)) {
      const complain = (problem: string, stops = false): void =>
        void complaints.push({ option: label, source: source.name, value: shownValue(key, text), problem, ...(stops && { stops }) });
      if (source.dialect === 'resource' && option.names.resource === undefined) {
        complain('it can be set by environment or file only, and is ignored here');
        continue;
      }
      const outcome = read(option, text.trim(), source.dialect);
      if (outcome === undefined) continue;
      if (outcome.ok) {
        if (outcome.remark !== undefined) complain(outcome.remark);
        values[key] = outcome.value;
        setBy.set(key, { source: source.name, text });
        break;
      }
      if (!option.required) {
        complain(`${outcome.reason}; the next source's value or the default is used`);
        continue;
      }
      complain(lastGood ? `${outcome.reason}; the last good value stays` : outcome.reason, !lastGood);
      if (lastGood) values[key] = lastGood[key];
      break;
    }
    if (option.required && values[key] === '')
      complaints.push({ option: labelOf(key, option), source: 'the defaults', value: '', problem: 'it is empty, and must be set', stops: true });
  }
  return { table, values: values as Values<T>, complaints, setBy, unknown: sources.flatMap((source) => unknownIn(table, source)) };
}

const nameIn = (dialect: Dialect, name: string): string => (dialect === 'conf' ? name : name.toLowerCase());

/** An option's name in messages: `[calico] etcd_host` for `calico/etcd_host`. */
const labelIn = (dialect: Dialect, key: string, name: string): string => (dialect === 'conf' ? `[${name.replace('/', '] ')}` : key);

/** The name in messages of an option that no source sets. */
const labelOf = (key: string, { names: { conf: [name] = [] } }: Option<unknown>): string => (name === undefined ? key : labelIn('conf', key, name));

/** The texts of an option in the order of the sources. An option that FelixConfiguration cannot set is searched for there as well, so that it can be complained of. */
function* textsOf(key: string, option: Option<unknown>, sources: readonly Source[]): Generator<{ source: Source; label: string; text: string }> {
  for (const source of sources) {
    const names = option.names[source.dialect] ?? (source.dialect === 'resource' ? [key] : []);
    for (const name of names) {
      const text = source.texts.get(nameIn(source.dialect, name));
      if (text === undefined || (text.trim() === '' && option.empty === undefined)) continue;
      yield { source, label: labelIn(source.dialect, key, name), text };
      break;
    }
  }
}

function read<T>(option: Option<T>, text: string, dialect: Dialect): ReturnType<Option<T>['parse']> | undefined {
  if (text === '' && option.empty) return { ok: true, value: option.empty.value };
  if (option.none !== undefined && dialect !== 'conf' && text.toLowerCase() === 'none')
    return option.none === 'refused' ? { ok: false, reason: 'it must be set to something' } : { ok: true, value: option.none.value };
  return option.parse(text, dialect);
}

function unknownIn(table: Table, source: Source): Unknown[] {
  const { dialect } = source;
  if (dialect === 'libcalico') return [];
  const known = new Set<string>();
  for (const [key, { names }] of Object.entries(table)) {
    for (const name of names[dialect] ?? []) known.add(nameIn(dialect, name));
    if (dialect === 'resource') known.add(key.toLowerCase());
  }
  return [...source.texts].flatMap(([name, text]) => (known.has(name) || text.trim() === '' ? [] : [{ name, text, source }]));
}

/** The values for the start. @throws StartError CONFIG_INVALID with a sentence for each complaint that stops the start */
export function inForce<T extends Table>({ values, complaints }: Pick<Resolution<T>, 'values' | 'complaints'>): Values<T> {
  const stopping = complaints.filter(({ stops }) => stops);
  if (stopping.length > 0) throw new StartError('CONFIG_INVALID', stopping.map(complaintText).join('\n'));
  return values;
}

/** A complaint as a sentence, for a terminal. */
export function complaintText({ option, source, value, problem, stops }: Complaint): string {
  const what = option === '' ? source : `${option} is "${value}" in ${source}`;
  return `${what}: ${problem}.${stops ? ' Correct it there, then start again.' : ''}`;
}

/** Logs complaints as warnings, one line each. */
export function logComplaints(log: Logger, complaints: readonly Complaint[]): void {
  for (const { option, source, value, problem } of complaints) log.warn({ ...(option !== '' && { option, value }), source }, `configuration: ${problem}`);
}

/** The values in force, one line each, with the source or the word `default`. For `--check-config`. */
export function optionsInForce<T extends Table>({ table, setBy }: Pick<Resolution<T>, 'table' | 'setBy'>): readonly string[] {
  return Object.entries(table).map(([key, option]) => {
    const label = labelOf(key, option);
    const set = setBy.get(key);
    return set ? `${label} = ${shownValue(key, set.text)} (${set.source})` : `${label} = ${shownDefault(option)} (default)`;
  });
}

/** An option's default for people. */
export function shownDefault({ default: value, shownDefault: shown }: Option<unknown>): string {
  if (shown !== undefined) return shown;
  if (value === undefined || value === '') return 'none';
  return Array.isArray(value) ? value.join(',') || 'none' : String(value);
}
