// Calico's selector language. A recursive-descent parser turns the text into a function directly; there is no tree and no canonical form that could contain a mistake.

/** The value of the label with a name; undefined when there is none. */
export type LabelsOf = (name: string) => string | undefined;

/** Whether a set of labels matches. */
export type Matcher = (labels: LabelsOf) => boolean;

/** How a kind of selector (of namespaces, of service accounts) differs from the ordinary one. */
export type Dialect = {
  /** Translates a name in the selector into the name of the label that it stands for. */
  readonly renameLabel?: (name: string) => string;
  /** What the function `all()` matches; everything when absent. */
  readonly all?: Matcher;
  /** What the function `global()` matches; everything when absent. */
  readonly global?: Matcher;
};

/** Parses a selector. undefined when the text is not one. An empty selector matches everything. */
export function readSelector(text: string, dialect: Dialect = {}): Matcher | undefined {
  const reader = new Reader(text, dialect);
  return reader.whole();
}

class NotASelector extends Error {}

class Reader {
  #rest: string;
  readonly #dialect: Dialect;

  constructor(text: string, dialect: Dialect) {
    this.#rest = text;
    this.#dialect = dialect;
  }

  whole(): Matcher | undefined {
    try {
      this.#blanks();
      if (this.#rest === '') return () => true;
      const matcher = this.#or();
      if (this.#rest !== '') throw new NotASelector();
      return matcher;
    } catch (error) {
      if (error instanceof NotASelector || error instanceof RangeError) return undefined; // RangeError: too deeply nested for the stack
      throw error;
    }
  }

  #blanks(): void {
    this.#rest = this.#rest.replace(/^[ \t]+/, '');
  }

  /** Consumes what the pattern matches here, and the blanks behind it. undefined when it does not match. */
  #take(pattern: RegExp): string | undefined {
    const found = new RegExp(`^(?:${pattern.source})`).exec(this.#rest);
    if (!found) return undefined;
    this.#rest = this.#rest.slice(found[0].length);
    this.#blanks();
    return found[0];
  }

  #need(pattern: RegExp): string {
    const found = this.#take(pattern);
    if (found === undefined) throw new NotASelector();
    return found;
  }

  #or(): Matcher {
    const parts = [this.#and()];
    while (this.#take(/\|\|/) !== undefined) parts.push(this.#and());
    return (labels) => parts.some((part) => part(labels));
  }

  #and(): Matcher {
    const parts = [this.#operand()];
    while (this.#take(/&&/) !== undefined) parts.push(this.#operand());
    return (labels) => parts.every((part) => part(labels));
  }

  #operand(): Matcher {
    if (this.#take(/!(?!=)/) !== undefined) {
      const negated = this.#operand();
      return (labels) => !negated(labels);
    }
    if (this.#take(/\(/) !== undefined) {
      const inner = this.#or();
      this.#need(/\)/);
      return inner;
    }
    if (this.#take(/all\(/) !== undefined) {
      this.#need(/\)/);
      return this.#dialect.all ?? (() => true);
    }
    if (this.#take(/global\(/) !== undefined) {
      this.#need(/\)/);
      return this.#dialect.global ?? (() => true);
    }
    if (this.#take(/has\(/) !== undefined) {
      const name = this.#label();
      this.#need(/\)/);
      return (labels) => labels(name) !== undefined;
    }
    return this.#comparison();
  }

  #label(): string {
    const name = this.#need(/[A-Za-z0-9_./-]+/);
    if (name.length > 512) throw new NotASelector();
    return this.#dialect.renameLabel?.(name) ?? name;
  }

  #text(): string {
    return this.#need(/'[^']*'|"[^"]*"/).slice(1, -1);
  }

  #comparison(): Matcher {
    const name = this.#label();
    const value = (labels: LabelsOf): string | undefined => labels(name);
    if (this.#take(/==/) !== undefined) {
      const wanted = this.#text();
      return (labels) => value(labels) === wanted;
    }
    if (this.#take(/!=/) !== undefined) {
      const unwanted = this.#text();
      return (labels) => value(labels) !== unwanted;
    }
    for (const [pattern, holds] of textOperators) {
      if (this.#take(pattern) === undefined) continue;
      const wanted = this.#text();
      return (labels) => {
        const text = value(labels);
        return text !== undefined && holds(text, wanted);
      };
    }
    if (this.#take(/not[ \t]*in\b/) !== undefined) {
      const list = this.#list();
      return (labels) => !list.includes(value(labels) as string);
    }
    this.#need(/in\b/);
    const list = this.#list();
    return (labels) => list.includes(value(labels) as string);
  }

  #list(): string[] {
    this.#need(/\{/);
    const list: string[] = [];
    while (this.#take(/\}/) === undefined) {
      if (list.length > 0) {
        this.#need(/,/);
        if (this.#take(/\}/) !== undefined) break; // a trailing comma
      }
      list.push(this.#text());
    }
    return list;
  }
}

const textOperators: readonly [RegExp, (text: string, wanted: string) => boolean][] = [
  [/contains\b/, (text, wanted) => text.includes(wanted)],
  [/starts[ \t]*with\b/, (text, wanted) => text.startsWith(wanted)],
  [/ends[ \t]*with\b/, (text, wanted) => text.endsWith(wanted)],
];
