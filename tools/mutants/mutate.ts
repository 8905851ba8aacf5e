// Makes the mutants of a source text. Each has one small change, of the kinds that break waiting, retrying, order and decisions. Pure.
import { parseSync } from 'vite';

/** A small change of a source text: `text` takes the place of the characters from `start` up to `end`. */
export type Mutant = {
  /** The number of the changed line, from 1. */
  readonly line: number;
  /** The change for people: the old text and the new one. */
  readonly what: string;
  readonly start: number;
  readonly end: number;
  readonly text: string;
};

type Node = { readonly type: string; readonly start: number; readonly end: number; readonly [field: string]: unknown };
type Edit = { readonly node: { readonly start: number; readonly end: number }; readonly text: string; readonly kind: string };

const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null && typeof (value as Node).type === 'string';

/** The operators by which each operator is replaced: the one that differs at the bound, and its opposite. */
const operators: Readonly<Record<string, readonly string[]>> = {
  '<': ['<=', '>='],
  '<=': ['<', '>'],
  '>': ['>=', '<='],
  '>=': ['>', '<'],
  '===': ['!=='],
  '!==': ['==='],
  '&&': ['||'],
  '||': ['&&'],
  '+': ['-'],
  '-': ['+'],
  '*': ['/'],
  '/': ['*'],
  '%': ['*'],
  '**': ['*'],
  '&': ['|'],
  '|': ['&'],
  '+=': ['-='],
  '-=': ['+='],
  '&&=': ['||='],
  '||=': ['&&='],
};
const methods: Readonly<Record<string, string>> = { min: 'max', max: 'min', some: 'every', every: 'some', add: 'delete' };

/** Whether a call only logs something. No mutants are made of such calls, because nothing depends on them; tests check the log where it matters. */
const isLogCall = (node: Node, text: string): boolean =>
  node.type === 'CallExpression' && /^(?:this\.#?)?log\b/.test(text.slice((node['callee'] as Node).start, (node['callee'] as Node).end));

/** Whether a statement only logs something, perhaps under a condition. */
function isLogStatement(node: Node, text: string): boolean {
  switch (node.type) {
    case 'ExpressionStatement':
      return isLogCall(node['expression'] as Node, text);
    case 'BlockStatement': {
      const statements = node['body'] as readonly Node[];
      return statements.length > 0 && statements.every((each) => isLogStatement(each, text));
    }
    case 'IfStatement':
      return node['alternate'] === null && isLogStatement(node['consequent'] as Node, text);
    default:
      return false;
  }
}

/** All mutants of a file's text, in its order. @throws SyntaxError where the text is no TypeScript */
export function mutantsOf(text: string): readonly Mutant[] {
  const { program, errors } = parseSync('source.ts', text);
  if (errors.length > 0) throw new SyntaxError(errors[0]!.message);
  const edits: Edit[] = [];
  visit(program as unknown as Node, text, edits);
  const lineStarts = [0, ...[...text.matchAll(/\n/g)].map(({ index }) => index + 1)];
  const shown = (from: number, to: number): string => {
    const words = text.slice(from, to).replaceAll(/\s+/g, ' ');
    return words.length > 70 ? `${words.slice(0, 67)}...` : words;
  };
  return edits
    .map(({ node: { start, end }, text: becomes, kind }) => ({
      line: lineStarts.findLastIndex((lineStart) => lineStart <= start) + 1,
      what: `${shown(start, end)} → ${kind}`,
      start,
      end,
      text: becomes,
    }))
    .sort((one, other) => one.start - other.start || one.end - other.end);
}

/** The text with a mutant in it. */
export const mutated = (text: string, { start, end, text: becomes }: Pick<Mutant, 'start' | 'end' | 'text'>): string =>
  `${text.slice(0, start)}${becomes}${text.slice(end)}`;

function visit(node: Node, text: string, edits: Edit[]): void {
  // Types do not exist when the program runs, and log lines decide nothing.
  if (node.type.startsWith('TS') && !['TSAsExpression', 'TSNonNullExpression', 'TSSatisfiesExpression'].includes(node.type)) return;
  if (node.type === 'ImportDeclaration' || isLogCall(node, text) || isLogStatement(node, text)) return;
  edits.push(...editsOf(node, text));
  for (const [field, child] of Object.entries(node)) {
    if (field === 'typeAnnotation' || field === 'typeArguments' || field === 'typeParameters' || field === 'returnType') continue;
    // Keys of objects and names of members are not values.
    if ((field === 'key' || field === 'property') && node['computed'] === false) continue;
    for (const each of Array.isArray(child) ? child : [child]) if (isNode(each)) visit(each, text, edits);
  }
}

function editsOf(node: Node, text: string): readonly Edit[] {
  const source = (of: Node): string => text.slice(of.start, of.end);
  switch (node.type) {
    case 'Literal':
      return literalEdits(node);
    case 'BinaryExpression':
    case 'LogicalExpression':
    case 'AssignmentExpression':
      return operatorEdits(node, text);
    case 'UnaryExpression':
      return node['operator'] === '!' ? [{ node, text: source(node['argument'] as Node), kind: 'without !' }] : [];
    case 'IfStatement':
    case 'ConditionalExpression': {
      const test = node['test'] as Node;
      return [{ node: test, text: `!(${source(test)})`, kind: 'negated' }];
    }
    case 'ExpressionStatement':
      return statementEdits(node, source);
    case 'ContinueStatement':
      return [{ node, text: ';', kind: 'removed' }];
    case 'ReturnStatement':
      return node['argument'] === null ? [{ node, text: ';', kind: 'removed' }] : [];
    case 'CallExpression': {
      const callee = node['callee'] as Node;
      const method = callee.type === 'MemberExpression' ? (callee['property'] as Node) : undefined;
      const other = method && methods[source(method)];
      return method && other !== undefined ? [{ node: method, text: other, kind: other }] : [];
    }
    default:
      return [];
  }
}

function literalEdits(node: Node): readonly Edit[] {
  const value = node['value'];
  if (typeof value === 'boolean') return [{ node, text: String(!value), kind: String(!value) }];
  if (typeof value !== 'number') return [];
  // A count that is wrong by one matters. A time or a size that is wrong by one does not, but a time or size of zero does.
  const other = String(value < 10 ? value + 1 : 0);
  return [{ node, text: other, kind: other }];
}

function operatorEdits(node: Node, text: string): readonly Edit[] {
  const [left, right, operator] = [node['left'] as Node, node['right'] as Node, node['operator'] as string];
  if (operator === '??') return [{ node, text: text.slice(right.start, right.end), kind: 'what is behind ?? alone' }];
  const between = text.slice(left.end, right.start);
  const at = left.end + between.indexOf(operator);
  const place = { start: at, end: at + operator.length };
  // A plus between texts joins them, so such a mutant would only change words.
  const isText = operator.startsWith('+') && [left, right].some(({ type, value }) => type === 'TemplateLiteral' || typeof value === 'string');
  return isText ? [] : (operators[operator] ?? []).map((other) => ({ node: place, text: other, kind: other }));
}

/** The mutants of a statement with an effect: it is left out, and if it is awaited, it is also not awaited. */
function statementEdits(node: Node, source: (of: Node) => string): readonly Edit[] {
  const expression = node['expression'] as Node;
  if (expression.type === 'Literal') return [];
  const inner = expression.type === 'AwaitExpression' ? (expression['argument'] as Node) : expression;
  const removed = { node, text: ';', kind: 'removed' };
  return expression.type === 'AwaitExpression' ? [removed, { node, text: `void ${source(inner)};`, kind: 'not waited for' }] : [removed];
}
