// Prints a man page of an executable from its help texts and its table of options.
import { shownDefault, shownNames, type Table } from '@calico-openstack/agent';
import type { Help, HelpItem } from './help.ts';

/** What a man page is about. `table` has the options of the configuration file `file`; `seeAlso` names other pages. */
export type Described = {
  readonly name: string;
  readonly section: 1 | 8;
  readonly summary: string;
  readonly table?: Table;
  readonly file?: string;
  readonly exitStatus?: string;
  readonly seeAlso?: string;
};

const agentExit =
  '0 after SIGTERM or SIGINT, 1 when it cannot start or go on, 2 for wrong usage, 129 when it has to be started again with another configuration. --check-config: 0 without a complaint, otherwise 1.';

/**
 * A man page in the language of man(7).
 * @param helps the executable's help text, and those of its commands
 */
export function manPage({ name, section, summary, table, file, exitStatus, seeAlso }: Described, version: string, helps: readonly Help[]): string {
  const [own, ...commands] = helps as readonly [Help, ...Help[]];
  return [
    `.TH ${name.toUpperCase().replaceAll('-', '\\-')} ${section} "" "calico-openstack ${version}" "Calico for OpenStack"`,
    '.SH NAME',
    `${escaped(name)} \\- ${escaped(summary)}`,
    '.SH SYNOPSIS',
    ...helps.flatMap(({ usage }, index) => [...(index > 0 ? ['.br'] : []), `.B ${escaped(usage)}`]),
    '.SH DESCRIPTION',
    escaped(own.description),
    ...(table ? ['.PP', escaped('Runs in the foreground and ends in order on SIGTERM. What it has put in force stays.')] : []),
    ...listed('OPTIONS', own.options),
    ...listed('COMMANDS', own.commands),
    ...commands.flatMap((help) => listed(commandOf(help, name).toUpperCase(), help.options)),
    ...(table ? configuration(table, `${file === 'neutron.conf' ? '/etc/neutron' : '/etc/calico'}/${file}`) : []),
    '.SH EXIT STATUS',
    escaped(exitStatus ?? (table ? agentExit : '0 when it has done its work, 1 when it has not, 2 for wrong usage.')),
    ...(seeAlso === undefined ? [] : ['.SH SEE ALSO', escaped(seeAlso)]),
    '',
  ].join('\n');
}

/** The command of a help text: `etcd-roles` of `calico-openstack etcd-roles [options]`. */
const commandOf = ({ usage }: Help, name: string): string => usage.split(' ').find((word) => word !== name) ?? '';

const listed = (heading: string, items: readonly HelpItem[]): readonly string[] =>
  items.length === 0 ? [] : [`.SH ${escaped(heading)}`, ...items.flatMap(({ term, text }) => ['.TP', `.B ${escaped(term)}`, escaped(text)])];

const configuration = (table: Table, file: string): readonly string[] => [
  '.SH CONFIGURATION',
  escaped(`The options of ${file}:`),
  ...Object.entries(table).flatMap(([key, option]) => [
    '.TP',
    `.B ${escaped(shownNames(key, option).join(', '))}`,
    escaped(`${option.help}. Default: ${shownDefault(option)}`),
  ]),
];

/** Text as a line of man(7), where a backslash, a hyphen and a dot at the beginning have to be escaped. */
const escaped = (text: string): string =>
  text
    .replaceAll('`', '')
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('’', '\\(cq')
    .replace(/^([.'])/, '\\&$1')
    .replaceAll('\n', ' ');
