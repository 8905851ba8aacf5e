// Configuration files in the two dialects that operators have here: felix.cfg (ini, sections of no meaning) and OpenStack's (oslo.config: continued lines, repeated options).
import { readFileSync } from 'node:fs';
import { CodedError, fileReason } from './errors.ts';

/** Options by section, both as written; an option's values in the order of the file. Options before any section stand in section ''. */
export type Ini = ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>;

export class IniError extends CodedError {
  constructor(message: string, options?: ErrorOptions) {
    super('CONFIG_UNREADABLE', message, options);
  }
}

/** Reads a configuration file. A file that is not there is empty where it `mayBeMissing`. @throws IniError when it cannot be read, or is none */
export function readIni(file: string, { mayBeMissing = false } = {}): Ini {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (mayBeMissing && (error as NodeJS.ErrnoException).code === 'ENOENT') return new Map();
    throw new IniError(`cannot read the configuration file ${file}: ${fileReason(error)}; name another one (--config-file), or correct its rights`, {
      cause: error,
    });
  }
  return parseIni(text, file);
}

/**
 * Lines `[section]`, `option = value` (or `option: value`), comments with `#` or `;` at the start of a line, and continuation lines that begin with white space.
 * @param file named in errors
 * @throws IniError naming file and line, by number, for a line that is none of these: it may be what is left of a password
 */
export function parseIni(text: string, file: string): Ini {
  const sections = new Map<string, Map<string, string[]>>();
  let section = sectionOf(sections, '');
  let last: string[] | undefined;
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const content = line.trim();
    if (content === '' || content.startsWith('#') || content.startsWith(';')) {
      if (content === '') last = undefined;
      continue;
    }
    if (/^\s/.test(line) && last) {
      last[last.length - 1] += `\n${content}`;
      continue;
    }
    const header = /^\[([^\]]+)\]$/.exec(content);
    if (header) {
      section = sectionOf(sections, header[1]!.trim());
      last = undefined;
      continue;
    }
    const option = /^([^=:]+?)\s*[=:]\s*(.*)$/.exec(content);
    if (!option) throw new IniError(`${file}:${index + 1}: the line is neither "[section]" nor "option = value"`);
    const name = option[1]!.trim();
    last = section.get(name) ?? [];
    last.push(unquote(option[2]!));
    section.set(name, last);
  }
  return sections;
}

function sectionOf(sections: Map<string, Map<string, string[]>>, name: string): Map<string, string[]> {
  const section = sections.get(name) ?? new Map<string, string[]>();
  sections.set(name, section);
  return section;
}

function unquote(value: string): string {
  const quoted = /^"(.*)"$|^'(.*)'$/.exec(value);
  return quoted ? (quoted[1] ?? quoted[2]!) : value;
}

/**
 * An option's value as it may stand in a message: nothing of a password, nor of what is before an @ (a URL's user and password); its first line, since what was meant for an option of
 * its own may have been continued into it; at most 200 characters.
 */
export function shownValue(name: string, value: string): string {
  if (/password|secret/i.test(name)) return '…';
  const [first = '', ...more] = value.split('\n');
  const open = first.replace(/^.*@/s, '…@');
  return open.length > longestShown ? `${open.slice(0, longestShown)}…` : `${open}${more.length > 0 ? ' …' : ''}`;
}
const longestShown = 200;
