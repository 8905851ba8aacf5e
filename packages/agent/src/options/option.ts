// An option as a row of a table: what it is called in each place where it can be set, how its text is read, and what holds when nobody sets it.

/** A text as a value; or why it is none, as a sentence that follows the option's name and text. A remark says what of the text was not taken. */
export type Parsed<T> = { readonly ok: true; readonly value: T; readonly remark?: string } | { readonly ok: false; readonly reason: string };

/** How an option's text is read. The dialect decides only where the same text means different things in different places (`010` as a number). */
export type Parser<T> = (text: string, dialect: Dialect) => Parsed<T>;

/**
 * A kind of place where options are set, with names and rules of its own.
 *
 * | dialect | place | names |
 * |---|---|---|
 * | `environment` | environment variables of this part | `FELIX_HEALTHPORT`, in any case |
 * | `libcalico` | environment variables that every client of Calico's datastore reads | `ETCD_ENDPOINTS`, with or without `CALICO_` before it |
 * | `cfg` | felix.cfg, bird-agent.cfg | `HealthPort`, in any case, in any section |
 * | `conf` | neutron.conf | `calico/etcd_host`: section and option |
 * | `resource` | FelixConfiguration | `healthPort`, in any case |
 */
export type Dialect = 'environment' | 'libcalico' | 'cfg' | 'conf' | 'resource';

/** An option's names by dialect; of several names in one place the first that is set counts. A dialect that is left out cannot set the option. */
export type Names = { readonly [dialect in Dialect]?: readonly string[] };

/** An option before it has got the names that follow from its place in a table. */
export type Row<T> = {
  readonly parse: Parser<T>;
  readonly default: T;
  /** For people, and for the lists in the READMEs: one sentence without its full stop. */
  readonly help: string;
  /** How the default is shown where its value alone does not say it (`the system's host name`). */
  readonly shownDefault?: string;
  /** A text that cannot be read stops the start. While the agent runs, the last good value stays. Any other option falls back to the next source. */
  readonly required?: true;
  /** What the word `none` says, in any case; `refused` where there must be something. Left out: `none` is a text like any other. neutron.conf does not know it. */
  readonly none?: { readonly value: T } | 'refused';
  /** What an empty text says. Left out: an empty text counts as not set. */
  readonly empty?: { readonly value: T };
  /** Names besides those that its table gives it. Where both name a dialect, these count. */
  readonly also?: Names;
};

/** A row of a part's table, with its names. */
export type Option<T> = Omit<Row<T>, 'also'> & { readonly names: Names };

/** The options of one part, by the name that messages and code use. */
export type Table = Readonly<Record<string, Option<unknown>>>;
export type Rows = Readonly<Record<string, Row<unknown>>>;

/** The values in force of a table's options. */
export type Values<T extends Rows | Table> = { readonly [name in keyof T]: T[name]['default'] };

type Named<R extends Rows> = { readonly [name in keyof R]: Option<R[name]['default']> };

/** A row. @param help one sentence without its full stop */
export const row = <T>(parse: Parser<T>, defaultValue: T, help: string, more: Partial<Omit<Row<T>, 'parse' | 'default' | 'help'>> = {}): Row<T> => ({
  parse,
  default: defaultValue,
  help,
  ...more,
});

/** Gives rows their names: those that `namesOf` makes of a row's key, and those that the row has besides. */
export const named = <R extends Rows>(namesOf: (key: string) => Names, rows: R): Named<R> =>
  Object.fromEntries(
    Object.entries(rows).map(([key, { also, ...option }]) => [key, { ...option, names: { ...namesOf(key), ...also } }]),
  ) as unknown as Named<R>;

/** Rows that are set in one section of neutron.conf, under their keys. */
export const inSection = <R extends Rows>(section: string, rows: R): Named<R> => named((key) => ({ conf: [`${section}/${key}`] }), rows);
