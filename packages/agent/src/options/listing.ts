// Prints the lists of options in the READMEs.
import type { Option, Table } from './option.ts';
import { shownDefault } from './resolve.ts';

/**
 * A table of options in Markdown.
 * @param live whether to have a column that marks the options that FelixConfiguration can change while the agent runs
 */
export function optionList(table: Table, { live = false } = {}): string {
  const heading = live ? ['option', 'default', 'live', 'meaning'] : ['option', 'default', 'meaning'];
  const rows = Object.entries(table).map(([key, option]) => [
    shownNames(key, option)
      .map((name) => `\`${name}\``)
      .join(', '),
    `\`${shownDefault(option)}\``,
    ...(live ? [option.names.resource ? 'yes' : ''] : []),
    option.help,
  ]);
  return [heading, heading.map(() => '---'), ...rows].map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`).join('\n');
}

/** An option's names for people: `[section] option` for neutron.conf, otherwise the names in felix.cfg. */
export const shownNames = (key: string, { names }: Option<unknown>): readonly string[] =>
  names.conf?.map((name) => `[${name.replace('/', '] ')}`) ?? names.cfg ?? [key];
