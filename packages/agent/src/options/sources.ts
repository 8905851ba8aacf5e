// The places on a host where options are set: environment and files. Each is read once, at the start.
import type { ConfFile } from './config-files.ts';
import { readIni } from './ini.ts';
import type { Source } from './resolve.ts';

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The environment variables whose names begin with `prefix`, in any case. */
export function environmentSource(environment: Environment, prefix: string): Source {
  const texts = new Map<string, string>();
  for (const [name, value] of Object.entries(environment))
    if (value !== undefined && name.toLowerCase().startsWith(prefix.toLowerCase())) texts.set(name.toLowerCase(), value);
  return { name: 'environment', dialect: 'environment', texts };
}

/** All environment variables, for the names that every client of Calico's datastore reads. A name with `CALICO_` before it takes precedence over the same name without. */
export function libcalicoSource(environment: Environment): Source {
  const texts = new Map<string, string>();
  for (const [name, value] of Object.entries(environment)) if (value) texts.set(name.toLowerCase(), value);
  for (const [name, value] of [...texts]) if (name.startsWith('calico_')) texts.set(name.slice('calico_'.length), value);
  return { name: 'environment', dialect: 'libcalico', texts };
}

/** A file in the syntax of felix.cfg. Sections are ignored, and of several values of one name the last counts. @throws IniError when the file cannot be read */
export function cfgSource(path: string, { mayBeMissing = false } = {}): Source {
  const texts = new Map<string, string>();
  for (const options of readIni(path, 'cfg', { mayBeMissing }).values()) for (const [name, values] of options) texts.set(name.toLowerCase(), values.at(-1)!);
  return { name: path, dialect: 'cfg', texts };
}

/**
 * The sources of the dialect of neutron.conf in order of precedence: the environment (`OS_<GROUP>__<OPTION>`), then the files, the last file first. As in oslo.config, `$name`, `${name}`
 * and `${section.name}` in a value stand for another option.
 * @param defaults the values of such options that nothing sets, by `section/name`
 */
export function confTexts(files: readonly ConfFile[], defaults: Readonly<Record<string, string>>, environment: Environment = {}): readonly Source[] {
  const inFiles = files.map(({ path, ini }) => {
    const texts = new Map<string, string>();
    for (const [section, options] of ini) for (const [name, values] of options) texts.set(`${groupName(section)}/${name}`, values.at(-1)!);
    return { name: path, texts };
  });
  const raw = [...inFiles, { name: 'environment', texts: osloTexts(environment) }];
  const all = new Map([...Object.entries(defaults), ...raw.flatMap(({ texts }) => [...texts])]);
  return raw
    .map(
      ({ name: source, texts }): Source => ({
        name: source,
        dialect: 'conf',
        texts: new Map([...texts].map(([name, text]) => [name, substituted(text, name.split('/')[0]!, all)])),
      }),
    )
    .reverse();
}

/** The options that the environment sets, as oslo.config reads it: the names are in upper case, `OS_CALICO__ETCD_HOST` for `etcd_host` in section [calico]. */
function osloTexts(environment: Environment): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  for (const [name, text] of Object.entries(environment)) {
    const [, group, option] = /^OS_((?:(?!__)[^\p{Ll}])+)__([^\p{Ll}]+)$/u.exec(name) ?? [];
    if (group !== undefined && option !== undefined && text !== undefined)
      texts.set(`${group === 'DEFAULT' ? group : group.toLowerCase()}/${option.toLowerCase()}`, text);
  }
  return texts;
}

/** A section's name for comparison. oslo.config ignores its case, except that of DEFAULT. */
const groupName = (section: string): string => (section === 'DEFAULT' ? section : section.toLowerCase());

/** How deeply substitutions may nest. Without a limit, an option that refers to itself would never end. */
const mostSubstitutions = 10;

function substituted(text: string, section: string, all: ReadonlyMap<string, string>, depth = 0): string {
  if (depth === mostSubstitutions || !text.includes('$')) return text;
  return text.replaceAll(/[$\\]\$|\$(?:\{([\w.-]+)\}|(\w+))/g, (whole: string, braced?: string, plain?: string) => {
    const name = braced ?? plain;
    if (name === undefined) return '$';
    const [group, option] = name.includes('.') ? [name.slice(0, name.indexOf('.')), name.slice(name.indexOf('.') + 1)] : [section, name];
    const value = all.get(`${group}/${option}`) ?? all.get(`DEFAULT/${name}`);
    return value === undefined ? whole : substituted(value, group, all, depth + 1);
  });
}
