// Reads what an executable prints for --help, so that its man page has the same options.

/** An option or a command as `--help` lists it: `-c, --config-file <file>` and its meaning. */
export type HelpItem = { readonly term: string; readonly text: string };

/** The parts of a help text. `usage` has no `Usage:` before it. */
export type Help = {
  readonly usage: string;
  readonly description: string;
  readonly options: readonly HelpItem[];
  readonly commands: readonly HelpItem[];
};

/**
 * Reads a help text of commander's.
 * @throws Error when the text has no usage or no options, because commander has changed
 */
export function parseHelp(text: string): Help {
  const blocks = text.trim().split(/\n{2,}/);
  const [usage] = blocks.flatMap((block) => (block.startsWith('Usage: ') ? [joined(block.slice('Usage: '.length).split('\n'))] : []));
  const help = {
    usage: usage ?? '',
    description: blocks
      .filter((block) => !/^(Usage|Options|Commands|Arguments):/.test(block))
      .map((block) => joined(block.split('\n')))
      .join(' '),
    options: itemsOf(blocks, 'Options:'),
    commands: itemsOf(blocks, 'Commands:'),
  };
  if (help.usage === '' || help.options.length === 0) throw new Error(`this is no help text of commander's:\n${text}`);
  return help;
}

const joined = (lines: readonly string[]): string => lines.map((line) => line.trim()).join(' ');

/** The items of a block. A term begins in the third column, and its text, which is broken into lines, further to the right. */
function itemsOf(blocks: readonly string[], heading: string): readonly HelpItem[] {
  const lines =
    blocks
      .find((block) => block.startsWith(heading))
      ?.split('\n')
      .slice(1) ?? [];
  const items: { term: string; text: string[] }[] = [];
  for (const line of lines) {
    const [, term, rest] = /^ {2}(\S.*?)(?: {2,}(\S.*))?$/.exec(line) ?? [];
    if (term !== undefined) items.push({ term, text: rest === undefined ? [] : [rest] });
    else items.at(-1)?.text.push(line);
  }
  return items.map((item) => ({ term: item.term, text: joined(item.text) }));
}
