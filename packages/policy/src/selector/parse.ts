// Parses Calico's selector language. It is case-sensitive and compares byte by byte; only spaces and tabs are blanks; strings have no escapes.
import { type Decoded, decoded, refused } from '@calico-openstack/datamodel';
import { all, type Expression, has, isIn, not } from './expression.ts';

/** The most characters of a label's name, as in Calico. */
export const labelNameMax = 512;
/** The deepest nesting of brackets: more than anybody writes, and little enough for the stack, which a value in the datastore must not overflow. */
export const nestingMax = 100;
/**
 * The most conditions of a selector: more than anybody writes. A selector that requires no label is evaluated for all labellings of the cluster, condition by condition.
 * One `in` counts as one condition, however many values it has.
 */
export const conditionsMax = 256;

const blanks = /[ \t]*/y;
const labelName = /[A-Za-z0-9_./-]+/y;
/** An operator's word must end at a word boundary: `k in{…}` has an operator, `k inx` has none. */
const operator = /==|!=|in\b|not[ \t]*in\b|contains\b|starts[ \t]*with\b|ends[ \t]*with\b/y;
const quoted = /"([^"]*)"|'([^']*)'/y;
const call = /(has|all|global)\(/y;

class SelectorSyntaxError extends Error {}

/** Parses a selector. Empty or blank text is `all()`. Refused with what was expected where; never throws. */
export function parseExpression(text: string): Decoded<Expression> {
  try {
    return decoded(new Parser(text).selector());
  } catch (error) {
    if (error instanceof SelectorSyntaxError) return refused(error.message);
    throw error;
  }
}

class Parser {
  readonly #text: string;
  #at = 0;
  #depth = 0;
  #conditions = 0;

  constructor(text: string) {
    this.#text = text;
  }

  selector(): Expression {
    this.#take(blanks);
    if (this.#at === this.#text.length) return all;
    const expression = this.#or();
    if (this.#at < this.#text.length) this.#fail('the end, && or ||');
    return expression;
  }

  #or(): Expression {
    return this.#chain('||', 'or', () => this.#chain('&&', 'and', () => this.#operand()));
  }

  #chain(separator: string, kind: 'and' | 'or', next: () => Expression): Expression {
    const operands = [next()];
    while (this.#takeText(separator)) operands.push(next());
    return operands.length === 1 ? operands[0]! : { kind, operands };
  }

  /** `!` negates the one operand behind it, and may be repeated. */
  #operand(): Expression {
    let negated = false;
    while (this.#takeText('!')) negated = !negated;
    const expression = this.#takeText('(') ? this.#group() : this.#condition();
    this.#take(blanks);
    return negated ? not(expression) : expression;
  }

  #group(): Expression {
    this.#depth += 1;
    if (this.#depth > nestingMax) throw new SelectorSyntaxError(`nests deeper than ${nestingMax} brackets`);
    const expression = this.#or();
    this.#expect(')');
    this.#depth -= 1;
    return expression;
  }

  #condition(): Expression {
    this.#conditions += 1;
    if (this.#conditions > conditionsMax) throw new SelectorSyntaxError(`has more than ${conditionsMax} conditions`);
    return this.#call() ?? this.#comparison();
  }

  /** A function's name and its bracket must be adjacent: `has (k)` is read as a comparison of a label named `has`, and fails. */
  #call(): Expression | undefined {
    const word = this.#take(call)?.[1];
    if (!word) return undefined;
    const expression: Expression = word === 'has' ? has(this.#label()) : { kind: word as 'all' | 'global' };
    this.#expect(')');
    return expression;
  }

  #comparison(): Expression {
    const label = this.#label();
    this.#take(blanks);
    const word = this.#take(operator)?.[0].replaceAll(/[ \t]/g, '');
    switch (word) {
      case '==':
        return isIn(label, [this.#string()]);
      case '!=':
        return not(isIn(label, [this.#string()]));
      case 'in':
        return isIn(label, this.#strings());
      case 'notin':
        return not(isIn(label, this.#strings()));
      case 'contains':
        return { kind: 'contains', label, text: this.#string() };
      case 'startswith':
        return { kind: 'starts with', label, text: this.#string() };
      case 'endswith':
        return { kind: 'ends with', label, text: this.#string() };
      default:
        return this.#fail('an operator');
    }
  }

  #label(): string {
    this.#take(blanks);
    const name = this.#take(labelName)?.[0];
    if (!name) return this.#fail("a label's name");
    if (name.length > labelNameMax) throw new SelectorSyntaxError(`has a label name of more than ${labelNameMax} characters`);
    return name;
  }

  #string(): string {
    this.#take(blanks);
    const match = this.#take(quoted);
    return match ? (match[1] ?? match[2]!) : this.#fail('a quoted string');
  }

  /** The list of values in braces. It may be empty, and may end in a comma. */
  #strings(): readonly string[] {
    this.#expect('{');
    const values: string[] = [];
    while (!this.#takeText('}')) {
      values.push(this.#string());
      if (this.#takeText('}')) break;
      this.#expect(',');
    }
    return values;
  }

  #take(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match) this.#at += match[0].length;
    return match ?? undefined;
  }

  #takeText(text: string): boolean {
    this.#take(blanks);
    if (!this.#text.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #expect(text: string): void {
    if (!this.#takeText(text)) this.#fail(text);
  }

  #fail(wanted: string): never {
    const found = this.#at < this.#text.length ? JSON.stringify(this.#text.slice(this.#at, this.#at + 20)) : 'the end';
    throw new SelectorSyntaxError(`has ${found} at character ${this.#at + 1} where ${wanted} is expected`);
  }
}
