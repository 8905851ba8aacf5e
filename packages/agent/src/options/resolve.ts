// From a table and its sources, in order of precedence, to the values in force and what is to be said about them.
import { StartError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { shownValue } from './ini.ts';
import type { Dialect, Option, Table, Values } from './option.ts';

/** One place where options are set: texts by name, as the dialect has names (lower case, but in neutron.conf). */
export type Source = {
  /** As messages call it: `environment`, a file's path, `FelixConfiguration default`. */
  readonly name: string;
  readonly dialect: Dialect;
  readonly texts: ReadonlyMap<string, string>;
};

/** Something about an option that whoever set it should know. */
export type Complaint = {
  /** The option as its place calls it: `HealthPort`, `[calico] etcd_host`. Empty when it is about a source as a whole. */
  readonly option: string;
  readonly source: string;
  /** As it may be shown. */
  readonly value: string;
  /** What is wrong, and what was done instead. */
  readonly problem: string;
  /** The agent must not start so. */
  readonly stops?: true;
};

/** A name that a source has and the table does not. */
export type Unknown = { readonly name: string; readonly text: string; readonly source: Source };

export type Resolution<T extends Table> = {
  readonly table: T;
  readonly values: Values<T>;
  readonly complaints: readonly Complaint[];
  /** Of options that are not at their default: who set them, and to which text. */
  readonly setBy: ReadonlyMap<keyof T & string, { readonly source: string; readonly text: string }>;
  /** Names that the sources have and the table does not. Of neutron.conf that is most of it: the file is everybody's. */
  readonly unknown: readonly Unknown[];
};

/**
 * Reads every option from the first source that has a good text for it. Nothing is thrown: what must stop the start is among the complaints (`inForce`).
 * @param sources the first has precedence
 * @param lastGood what stays in force of required options whose text is bad. undefined: at the start, which such a text stops
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

/** An option's name as messages have it: `[calico] etcd_host` for `calico/etcd_host`. */
const labelIn = (dialect: Dialect, key: string, name: string): string => (dialect === 'conf' ? `[${name.replace('/', '] ')}` : key);

/** An option's name where no source has named it. */
const labelOf = (key: string, { names: { conf: [name] = [] } }: Option<unknown>): string => (name === undefined ? key : labelIn('conf', key, name));

/** What the sources say of an option, in order. A FelixConfiguration that names an option of the host alone is asked too, so that it can be told. */
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

/** The values to start with. @throws StartError CONFIG_INVALID with a sentence for each complaint that stops the start */
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

/** Reports complaints, one line each. */
export function logComplaints(log: Logger, complaints: readonly Complaint[]): void {
  for (const { option, source, value, problem } of complaints) log.warn({ ...(option !== '' && { option, value }), source }, `configuration: ${problem}`);
}

/** The values in force, one line each, with where they come from; those that nobody set are marked as defaults. For `--check-config`. */
export function optionsInForce<T extends Table>({ table, setBy }: Pick<Resolution<T>, 'table' | 'setBy'>): readonly string[] {
  return Object.entries(table).map(([key, option]) => {
    const label = labelOf(key, option);
    const set = setBy.get(key);
    return set ? `${label} = ${shownValue(key, set.text)} (${set.source})` : `${label} = ${shownDefault(option)} (default)`;
  });
}

/** An option's default as people read it. */
export function shownDefault({ default: value, shownDefault: shown }: Option<unknown>): string {
  if (shown !== undefined) return shown;
  if (value === undefined || value === '') return 'none';
  return Array.isArray(value) ? value.join(',') || 'none' : String(value);
}
