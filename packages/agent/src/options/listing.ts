// Prints the lists of options in the READMEs.
import type { Option, Table } from './option.ts';
import { shownDefault } from './resolve.ts';

/**
 * A table of options in Markdown.
 * @param live whether to have a column that marks the options that FelixConfiguration can change while the agent runs
 */
export function optionList(table: Table, { live = false } = {}): string {
  const heading = live ? ['option', 'default', 'live', 'what it says'] : ['option', 'default', 'what it says'];
  const rows = Object.entries(table).map(([key, option]) => [
    nameOf(key, option),
    `\`${shownDefault(option)}\``,
    ...(live ? [option.names.resource ? 'yes' : ''] : []),
    option.help,
  ]);
  return [heading, heading.map(() => '---'), ...rows].map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`).join('\n');
}

/** An option's names in Markdown: `[section] option` for neutron.conf, otherwise the names in felix.cfg. */
function nameOf(key: string, { names }: Option<unknown>): string {
  if (names.conf) return names.conf.map((name) => `\`[${name.replace('/', '] ')}\``).join(', ');
  return (names.cfg ?? [key]).map((name) => `\`${name}\``).join(', ');
}
