// Reads configuration files in two dialects: felix.cfg as Calico reads it, and neutron.conf as oslo.config reads it.
import { readFileSync } from 'node:fs';
import { CodedError, fileReason } from '../errors.ts';

/** A file's options: section, then name (both as written), then the option's values in the order of the file. Options before any section are in section ''. */
export type Ini = ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>;

/** A syntax: `cfg` is that of felix.cfg, `conf` that of neutron.conf. */
export type IniDialect = 'cfg' | 'conf';

/** A configuration file that cannot be read or does not follow the syntax. */
export class IniError extends CodedError {
  constructor(message: string, options?: ErrorOptions) {
    super('CONFIG_UNREADABLE', message, options);
  }
}

/**
 * Reads a configuration file. A file that does not exist counts as empty when it `mayBeMissing`.
 * @throws IniError when the file cannot be read or does not follow the syntax
 */
export function readIni(file: string, dialect: IniDialect, { mayBeMissing = false } = {}): Ini {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (mayBeMissing && (error as NodeJS.ErrnoException).code === 'ENOENT') return new Map();
    throw new IniError(`cannot read the configuration file ${file}: ${fileReason(error)}; name another one (--config-file), or correct its rights`, {
      cause: error,
    });
  }
  return parseIni(text, file, dialect);
}

/**
 * Parses the text of a configuration file.
 * @param file the file's name for errors
 * @throws IniError with the file and the line's number for a line that does not follow the syntax. It does not show the line, which may be a part of a password.
 */
export function parseIni(text: string, file: string, dialect: IniDialect): Ini {
  const lines = text.replace(/^\ufeff/, '').split(/\r?\n/);
  const sections = collector();
  const refuse = (index: number, why: string): never => {
    throw new IniError(`${file}:${index + 1}: ${why}`);
  };
  if (dialect === 'cfg') readCfg(lines, sections, refuse);
  else readConf(lines, sections, refuse);
  return sections.ini;
}

type Refuse = (index: number, why: string) => never;

function collector() {
  const ini = new Map<string, Map<string, string[]>>();
  const enter = (name: string): Map<string, string[]> => {
    const section = ini.get(name) ?? new Map<string, string[]>();
    ini.set(name, section);
    return section;
  };
  let section = enter('');
  return {
    ini,
    section(name: string): void {
      section = enter(name);
    },
    option(name: string, value: string): void {
      section.set(name, [...(section.get(name) ?? []), value]);
    },
  };
}
type Collector = ReturnType<typeof collector>;

const noOption = 'the line is neither "[section]" nor "option = value"';

/**
 * Reads lines as oslo.config does. Comments are whole lines that begin with `#` or `;`. A line that begins with white space continues the value before it, whatever the line contains,
 * until an empty line. Quotes around a value are removed.
 */
function readConf(lines: readonly string[], sections: Collector, refuse: Refuse): void {
  let open: { readonly name: string; readonly values: string[] } | undefined;
  const close = (): void => {
    if (open) sections.option(open.name, open.values.join('\n'));
    open = undefined;
  };
  for (const [index, written] of lines.entries()) {
    const line = written.trimEnd();
    if (/^[ \t]/.test(line)) {
      if (!open) refuse(index, 'the line begins with white space, and continues no option');
      open.values.push(line.trimStart());
      continue;
    }
    close();
    if (line === '' || line.startsWith('#') || line.startsWith(';')) continue;
    if (line.startsWith('[')) {
      if (!/^\[.+\]$/.test(line)) refuse(index, noOption);
      sections.section(line.slice(1, -1));
      continue;
    }
    const [, name = '', value = ''] = /^([^=:]*)[=:](.*)$/.exec(line) ?? [];
    if (name.trim() === '') refuse(index, noOption);
    const text = value.trim();
    open = { name: name.trim(), values: [/^(["']).*\1$|^["']$/.test(text) ? text.slice(1, -1) : text] };
  }
  close();
}

/**
 * Reads lines as Calico's Felix does, with go-ini 1.67 (`testing/read-by-go-ini.json` is what go-ini made of random texts). White space at the beginning of a line is skipped. `#` and `;`
 * begin a comment also behind a value, even inside quotation marks. Only backquotes or three quotation marks keep a value as it is, over several lines if need be. A backslash at the
 * end of a line continues the value on the next line.
 */
function readCfg(lines: readonly string[], sections: Collector, refuse: Refuse): void {
  for (let index = 0; index < lines.length; index += 1) {
    const line = lines[index]!.trim();
    if (line === '' || line.startsWith('#') || line.startsWith(';')) continue;
    if (line.startsWith('[')) {
      const end = line.lastIndexOf(']');
      if (end < 2) refuse(index, noOption);
      sections.section(line.slice(1, end));
      continue;
    }
    const [, , quoted, plain, value] = /^(?:("""|"|`)(.*?)\1[^=:]*|([^"`=:][^=:]*))[=:]\s*(.*)$/.exec(line) ?? [];
    const name = (quoted ?? plain ?? '').trim();
    if (name === '' || value === undefined) refuse(index, noOption);
    const { text, last } = cfgValue(lines, index, value, refuse);
    sections.option(name, text);
    index = last;
  }
}

/** A value of felix.cfg that begins at line `index`, and the line where it ends. */
function cfgValue(lines: readonly string[], index: number, value: string, refuse: Refuse): { readonly text: string; readonly last: number } {
  const isLong = value.startsWith('"""') && (value.length > 3 || index + 1 < lines.length);
  const quote = isLong ? '"""' : value.startsWith('`') ? '`' : undefined;
  if (quote !== undefined) {
    let text = value.slice(quote.length);
    for (let last = index; last < lines.length; last += 1, text += `\n${lines[last] ?? ''}`) {
      const end = text.lastIndexOf(quote);
      if (end >= 0) return { text: text.slice(0, end), last };
    }
    return refuse(index, `the line begins a value with ${quote}, which nothing ends`);
  }
  if (value.endsWith('\\')) {
    let text = value.slice(0, -1);
    for (let last = index + 1; last < lines.length; last += 1) {
      const next = lines[last]!.trim();
      text += next;
      if (next === '' || !text.endsWith('\\')) return { text, last };
      text = text.slice(0, -1);
    }
    return { text, last: lines.length };
  }
  const [bare = ''] = value.split(/[#;]/, 1);
  const text = bare.trim();
  return { text: /^"[^"]*"$|^'[^']*'$/.test(text) ? text.slice(1, -1) : text, last: index };
}

/**
 * An option's value as a message may show it. A password is not shown, nor what stands before an @ (user and password of a URL). Only the first line is shown, up to a word that names a
 * secret: a continued line may have taken in another option. At most 200 characters are shown.
 */
export function shownValue(name: string, value: string): string {
  if (/password|secret/i.test(name)) return '…';
  const [first = '', ...more] = value.split('\n');
  const open = first.replace(/^.*@/s, '…@').replace(/[a-z_]*(password|secret).*/i, '…');
  return open.length > longestShown ? `${open.slice(0, longestShown)}…` : `${open}${more.length > 0 ? ' …' : ''}`;
}
const longestShown = 200;
