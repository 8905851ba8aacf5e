// Configuration files in the two dialects that operators have here: felix.cfg, as Calico reads it, and neutron.conf, as oslo.config does.
import { readFileSync } from 'node:fs';
import { CodedError, fileReason } from '../errors.ts';

/** Options by section, both as written; an option's values in the order of the file. Options before any section stand in section ''. */
export type Ini = ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>;

/** `cfg`: felix.cfg and what is written like it. `conf`: neutron.conf and what is written like it. */
export type IniDialect = 'cfg' | 'conf';

export class IniError extends CodedError {
  constructor(message: string, options?: ErrorOptions) {
    super('CONFIG_UNREADABLE', message, options);
  }
}

/** Reads a configuration file. A file that is not there is empty where it `mayBeMissing`. @throws IniError when it cannot be read, or is none */
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
 * @param file named in errors
 * @throws IniError naming file and line, by number, for a line that means nothing: its content is not shown, since it may be what is left of a password
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
 * As oslo.config: comments are whole lines that begin with `#` or `;`; a line that begins with white space continues the value before it, whatever it holds, up to an empty line;
 * quotes around a value are taken off, and nothing else is.
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
 * As Calico's Felix (go-ini 1.67; `testing/read-by-go-ini.json` is what it made of random texts): white space at a line's beginning means nothing; `#` and `;` begin a comment also behind a value, and inside of quotation marks too; only backquotes, or
 * three quotation marks, keep a value as it is, over lines if need be; a backslash at a line's end continues it.
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
 * An option's value as it may stand in a message: nothing of a password, nor of what is before an @ (a URL's user and password); its first line, and nothing from a word on that names a
 * secret, since what was meant for an option of its own may have been continued into it; at most 200 characters.
 */
export function shownValue(name: string, value: string): string {
  if (/password|secret/i.test(name)) return '…';
  const [first = '', ...more] = value.split('\n');
  const open = first.replace(/^.*@/s, '…@').replace(/[a-z_]*(password|secret).*/i, '…');
  return open.length > longestShown ? `${open.slice(0, longestShown)}…` : `${open}${more.length > 0 ? ' …' : ''}`;
}
const longestShown = 200;
