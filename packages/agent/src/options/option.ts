// An option as a row of a table: its name in each place where it can be set, how its text is read, and its default.

/**
 * The value of a text, or the reason why it has none. The reason is the part of a sentence that follows the option's name and text. A remark says which part of the text is ignored,
 * and what that means.
 */
export type Parsed<T> = { readonly ok: true; readonly value: T; readonly remark?: string } | { readonly ok: false; readonly reason: string };

/** Reads an option's text. The dialect matters only where a text has different meanings in different places, such as `010` as a number. */
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

/** An option's names by dialect. Of several names, the first that is set counts. A dialect without names cannot set the option. */
export type Names = { readonly [dialect in Dialect]?: readonly string[] };

/** An option before it has its names, which follow from its key in a table. */
export type Row<T> = {
  readonly parse: Parser<T>;
  readonly default: T;
  /** A sentence for people, without its full stop. The lists in the READMEs have it. */
  readonly help: string;
  /** The default for people, where its value does not say it (`the system's host name`). */
  readonly shownDefault?: string;
  /** Whether a text that cannot be read stops the start. While the agent runs, such a text leaves the last good value in force. Other options fall back to the next source. */
  readonly required?: true;
  /** The value of the word `none`, in any case, or `refused` where none is not allowed. Without this field `none` is a text like any other. neutron.conf does not have the word. */
  readonly none?: { readonly value: T } | 'refused';
  /** The value of an empty text. Without this field an empty text counts as not set. */
  readonly empty?: { readonly value: T };
  /** Names besides those that the table gives. For a dialect that both name, these count. */
  readonly also?: Names;
};

/** A row of a part's table, with its names. */
export type Option<T> = Omit<Row<T>, 'also'> & { readonly names: Names };

/** The options of one part, by the name that messages and code use. */
export type Table = Readonly<Record<string, Option<unknown>>>;
/** Options without names, by the key from which their names are made. */
export type Rows = Readonly<Record<string, Row<unknown>>>;

/** The values in force of a table's options. */
export type Values<T extends Rows | Table> = { readonly [name in keyof T]: T[name]['default'] };

type Named<R extends Rows> = { readonly [name in keyof R]: Option<R[name]['default']> };

/** A row of a table. @param help one sentence without its full stop */
export const row = <T>(parse: Parser<T>, defaultValue: T, help: string, more: Partial<Omit<Row<T>, 'parse' | 'default' | 'help'>> = {}): Row<T> => ({
  parse,
  default: defaultValue,
  help,
  ...more,
});

/** Gives rows their names: those that `namesOf` returns for a row's key, and those of the row's field `also`. */
export const named = <R extends Rows>(namesOf: (key: string) => Names, rows: R): Named<R> =>
  Object.fromEntries(
    Object.entries(rows).map(([key, { also, ...option }]) => [key, { ...option, names: { ...namesOf(key), ...also } }]),
  ) as unknown as Named<R>;

/** Gives rows their names for one section of neutron.conf, where they are called by their keys. */
export const inSection = <R extends Rows>(section: string, rows: R): Named<R> => named((key) => ({ conf: [`${section}/${key}`] }), rows);
