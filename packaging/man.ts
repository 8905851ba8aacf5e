// Prints a man page of an executable from its description and its table of options.
import { shownDefault, shownNames, type Table } from '@calico-openstack/agent';

type Described = { readonly name: string; readonly section: 1 | 8; readonly summary: string; readonly table?: Table; readonly file?: string };

/** A man page in the language of man(7). */
export function manPage({ name, section, summary, table, file }: Described, version: string): string {
  const folder = file === 'neutron.conf' ? '/etc/neutron' : '/etc/calico';
  return [
    `.TH ${name.toUpperCase().replaceAll('-', '\\-')} ${section} "" "calico-openstack ${version}" "Calico for OpenStack"`,
    '.SH NAME',
    `${escaped(name)} \\- ${escaped(summary)}`,
    '.SH SYNOPSIS',
    `.B ${escaped(name)}`,
    escaped(table ? '[-c FILE]... [--check-config | --remove | --help | --version]' : '[--help | --version] COMMAND'),
    ...(table ? configured(table, `${folder}/${file}`) : ['.SH DESCRIPTION', `${escaped(name)} --help lists the commands and their options.`]),
    '',
  ].join('\n');
}

function configured(table: Table, file: string): readonly string[] {
  const option = (flags: string, text: string): readonly string[] => ['.TP', `.B ${escaped(flags)}`, escaped(text)];
  return [
    '.SH DESCRIPTION',
    escaped('Runs in the foreground and ends in order on SIGTERM. What it has put in force in the kernel, and the programs that serve guests, stay.'),
    '.SH OPTIONS',
    ...option('-c FILE, --config-file FILE', `Reads this configuration file instead of ${file}. It may be given several times; later ones win.`),
    ...option('--check-config', 'Prints the options in force and where each comes from, touches nothing, and exits.'),
    ...option('--remove', 'Takes away what the program has put on this host, where it has such a thing, and prints what was removed and what is left.'),
    ...option('--help', 'Lists all options of the command line.'),
    ...option('--version', 'Prints the version.'),
    '.SH CONFIGURATION',
    ...Object.entries(table).flatMap(([key, option]) => [
      '.TP',
      `.B ${escaped(shownNames(key, option).join(', '))}`,
      escaped(`${option.help}. Default: ${shownDefault(option)}`),
    ]),
    '.SH EXIT STATUS',
    escaped('0 after SIGTERM or SIGINT, 1 when it cannot start or go on, 2 for wrong usage, 129 when it has to be started again with another configuration.'),
  ];
}

/** Text as a line of man(7), where a backslash, a hyphen and a dot at the beginning have to be escaped. */
const escaped = (text: string): string =>
  text
    .replaceAll('`', '')
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('’', '\\(cq')
    .replace(/^([.'])/, '\\&$1')
    .replaceAll('\n', ' ');
