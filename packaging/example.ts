// Prints an example of a configuration file: every option of a table, commented out, with its default and its description.
import { shownDefault, type Table } from '@calico-openstack/agent';

/** An example for an executable. Options of neutron.conf stand in their sections; those of a .cfg file in [global]. */
export function exampleConfiguration(name: string, table: Table): string {
  const sections = new Map<string, string[]>();
  for (const [key, option] of Object.entries(table)) {
    const [section, key_] = option.names.conf?.[0]?.split('/') ?? ['global', option.names.cfg?.[0] ?? key];
    // The word `none` may be written only where the option takes it, and never in neutron.conf, where it is a text as any other.
    const takesNone = option.none !== undefined && option.names.conf === undefined;
    const shown = shownDefault(option);
    const fallback = shown === 'none' && !takesNone ? '' : shown;
    const isValue = /^[\w./:,%+@-]*$/.test(fallback);
    const lines = [`# ${sentence(option.help)}`, `#${key_} = ${isValue ? fallback : `    (default: ${fallback})`}`, ''];
    sections.set(section!, [...(sections.get(section!) ?? []), ...lines]);
  }
  const head = `# Every option of ${name}, commented out, with its default. Copy what you need.\n`;
  return head + [...sections].map(([section, lines]) => `\n[${section}]\n${lines.join('\n')}`).join('');
}

/** The help of an option as a sentence of its own, without Markdown. */
const sentence = (help: string): string => `${help.charAt(0).toUpperCase()}${help.slice(1).replaceAll('`', '')}.`;
