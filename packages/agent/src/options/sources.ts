// The places where options are set on a host: environment and files. Each is read once, at the start.
import { type IniDialect, readIni } from './ini.ts';
import type { Source } from './resolve.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** Environment variables whose names begin with `prefix`, in any case. */
export function environmentSource(environment: Environment, prefix: string): Source {
  const texts = new Map<string, string>();
  for (const [name, value] of Object.entries(environment))
    if (value !== undefined && name.toLowerCase().startsWith(prefix.toLowerCase())) texts.set(name.toLowerCase(), value);
  return { name: 'environment', dialect: 'environment', texts };
}

/** All environment variables, for the names that every client of Calico's datastore reads; with `CALICO_` before it a name beats the one without. */
export function libcalicoSource(environment: Environment): Source {
  const texts = new Map<string, string>();
  for (const [name, value] of Object.entries(environment)) if (value) texts.set(name.toLowerCase(), value);
  for (const [name, value] of [...texts]) if (name.startsWith('calico_')) texts.set(name.slice('calico_'.length), value);
  return { name: 'environment', dialect: 'libcalico', texts };
}

/** A file like felix.cfg: its sections mean nothing, and of several values of one name the last holds. @throws IniError */
export function cfgSource(path: string, { mayBeMissing = false } = {}): Source {
  const texts = new Map<string, string>();
  for (const options of readIni(path, 'cfg', { mayBeMissing }).values()) for (const [name, values] of options) texts.set(name.toLowerCase(), values.at(-1)!);
  return { name: path, dialect: 'cfg', texts };
}

/**
 * neutron.conf and what is beside it, the last file first. In a value `$name`, `${name}` and `${section.name}` stand for what another option says, as oslo.config has it.
 * @param defaults what such a name stands for when no file sets it, by `section/name`
 * @throws IniError
 */
export function confSources(paths: readonly string[], defaults: Readonly<Record<string, string>>): readonly Source[] {
  return confTexts(
    paths.map((path) => ({ path, ini: readIni(path, 'conf' satisfies IniDialect) })),
    defaults,
  );
}

type Files = readonly { readonly path: string; readonly ini: ReturnType<typeof readIni> }[];

/** Those of files that have been read. */
export function confTexts(files: Files, defaults: Readonly<Record<string, string>>): readonly Source[] {
  const raw = files.map(({ path, ini }) => {
    const texts = new Map<string, string>();
    for (const [section, options] of ini) for (const [name, values] of options) texts.set(`${groupName(section)}/${name}`, values.at(-1)!);
    return { path, texts };
  });
  const all = new Map([...Object.entries(defaults), ...raw.flatMap(({ texts }) => [...texts])]);
  return raw
    .map(
      ({ path, texts }): Source => ({
        name: path,
        dialect: 'conf',
        texts: new Map([...texts].map(([name, text]) => [name, substituted(text, name.split('/')[0]!, all)])),
      }),
    )
    .reverse();
}

/** oslo.config takes a section's name in any case, but for DEFAULT. */
const groupName = (section: string): string => (section === 'DEFAULT' ? section : section.toLowerCase());

/** How deep values may stand for others that stand for others: an option that names itself is left as it is. */
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
