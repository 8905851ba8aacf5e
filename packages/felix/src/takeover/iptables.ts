// Removes upstream's chains from the tables of iptables, in both back ends, with iptables' own tools. The legacy back end has no netlink. Upstream's Felix runs the same tools in this
// mode, so the host has them.
import { execFile, execFileSync } from 'node:child_process';
import { CodedError } from '@calico-openstack/agent';
import type { IpFamily } from './upstream.ts';

/** A back end of iptables, as the tools' names have it. */
export type Backend = 'legacy' | 'nft';

/** A table in the output of `iptables-save`, with the parts that matter here. */
type Table = { readonly name: string; readonly chains: readonly string[]; readonly rules: readonly Rule[] };
type Rule = {
  readonly chain: string;
  /** The text behind `-A CHAIN`, as it was printed. */
  readonly text: string;
  readonly target: string | undefined;
  /** Whether the rule has upstream's mark. */
  readonly upstream: boolean;
};

/** How to remove upstream's rules: the input for `iptables-restore --noflush`, and what stays because others use it, in words for people. */
export type Removal = { readonly script: string; readonly left: readonly string[] };

/**
 * Plans the removal of upstream's rules from the kernel's chains, and of upstream's chains with all their rules. A chain with such a name and a rule that is not upstream's belongs to
 * somebody else and stays. A chain of upstream's that somebody else's rule leads to is emptied and stays.
 * @param saved the output of `iptables-save`, or '' when there is none
 */
export function removalOf(saved: string): Removal {
  const left: string[] = [];
  const parts = parse(saved).map((table) => removalFrom(table, left));
  return { script: parts.join(''), left };
}

/** Whether forwarded packets pass through upstream's chains. @param saved the output of `iptables-save` for at least the table `filter` */
export const leadsThroughUpstream = (saved: string): boolean =>
  parse(saved).some(
    ({ name, rules }) => name === 'filter' && rules.some(({ chain, target, upstream }) => chain === 'FORWARD' && upstream && target === 'cali-FORWARD'),
  );

function removalFrom({ name, chains, rules }: Table, left: string[]): string {
  const mixed = new Set(rules.filter(({ upstream }) => !upstream).map(({ chain }) => chain));
  const own = chains.filter((chain) => ownChain.test(chain) && !mixed.has(chain));
  const goes = new Set(own);
  const staying = rules.filter(({ chain, upstream }) => !goes.has(chain) && !upstream);
  const wanted = new Set(staying.flatMap(({ target }) => target ?? []));
  for (const chain of own) if (wanted.has(chain)) left.push(`chain ${chain} of table ${name}, emptied: a rule that is not Felix’s leads to it`);
  for (const chain of chains) if (ownChain.test(chain) && mixed.has(chain)) left.push(`chain ${chain} of table ${name}: it holds a rule that is not Felix’s`);
  const lines = [
    ...rules.filter(({ chain, upstream }) => upstream && !goes.has(chain)).map(({ chain, text }) => `-D ${chain} ${text}`),
    ...own.map((chain) => `-F ${chain}`),
    ...own.filter((chain) => !wanted.has(chain)).map((chain) => `-X ${chain}`),
  ];
  return lines.length === 0 ? '' : `*${name}\n${lines.join('\n')}\nCOMMIT\n`;
}

/** The names of upstream's chains, and the comment that each of its rules has. */
const ownChain = /^cali-[\w.:/+-]+$/;
const ownMark = /^cali:[\w-]{16}$/;

function parse(saved: string): Table[] {
  const tables: { name: string; chains: string[]; rules: Rule[] }[] = [];
  for (const line of saved.split('\n')) {
    const table = tables.at(-1);
    if (line.startsWith('*')) tables.push({ name: line.slice(1).trim(), chains: [], rules: [] });
    else if (line.startsWith(':')) table?.chains.push(line.slice(1).split(' ')[0]!);
    else if (line.startsWith('-A ')) table?.rules.push(parseRule(line));
  }
  return tables;
}

function parseRule(line: string): Rule {
  const words = wordsOf(line);
  const after = (...options: readonly string[]): string[] =>
    words.flatMap((word, at) => (at > 1 && options.includes(word.text) && !word.quoted ? (words[at + 1]?.text ?? []) : []));
  return {
    chain: words[1]?.text ?? '',
    text: line.slice(words[2]?.at ?? line.length),
    target: after('-j', '-g')[0],
    upstream: after('--comment').some((comment) => ownMark.test(comment)),
  };
}

/** The words of a line of `iptables-save`. Words with blanks are in quotes, with a backslash before a quote inside. A word in quotes is never an option. */
const wordsOf = (line: string): { readonly text: string; readonly quoted: boolean; readonly at: number }[] =>
  [...line.matchAll(/"((?:[^"\\]|\\.)*)"|\S+/g)].map((match) => ({
    text: match[1]?.replace(/\\(.)/g, '$1') ?? match[0],
    quoted: match[1] !== undefined,
    at: match.index,
  }));

const toolOf = (family: IpFamily, backend: Backend, what: 'save' | 'restore'): string => `${family === 4 ? 'ip' : 'ip6'}tables-${backend}-${what}`;

/** The output of `iptables-legacy-save` for the table `filter`, or '' when the tool is missing or fails. It is synchronous, because the start waits for it. */
export function savedFilterTable(family: IpFamily): string {
  try {
    return execFileSync(toolOf(family, 'legacy', 'save'), ['-t', 'filter'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], maxBuffer });
  } catch {
    return '';
  }
}

/** Plans the removal of upstream's rules in one family and back end. @throws CodedError TOOL_MISSING, TOOL_FAILED */
export const plannedRemoval = async (family: IpFamily, backend: Backend): Promise<Removal> => removalOf(await run(toolOf(family, backend, 'save'), []));

/** Carries out a removal, each table in one transaction. @throws CodedError TOOL_MISSING, TOOL_FAILED; the tables before the one that failed are done then */
export async function carryOut(family: IpFamily, backend: Backend, { script }: Removal): Promise<void> {
  if (script !== '') await run(toolOf(family, backend, 'restore'), ['--noflush', ...(backend === 'legacy' ? ['--wait', '10'] : [])], script);
}

const maxBuffer = 1 << 28;

function run(tool: string, args: readonly string[], input = ''): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const child = execFile(tool, args, { encoding: 'utf8', maxBuffer, timeout: 60_000 }, (error, output, complaint) => {
    if (!error) resolve(output);
    else if (error.code === 'ENOENT') reject(new CodedError('TOOL_MISSING', `${tool} is not on this host: install the package iptables`, { cause: error }));
    else reject(new CodedError('TOOL_FAILED', `${tool} failed: ${complaint.trim() || error.message}`, { cause: error }));
  });
  child.stdin?.on('error', () => undefined); // the tool ended early; the callback gets the reason
  child.stdin?.end(input);
  return promise;
}
