import { Command } from 'commander';
import { expect, test } from 'vitest';
import { parseHelp } from './help.ts';
import { manPage } from './man.ts';

const meaning = 'a meaning that is much too long for one line of eighty columns, so that commander breaks it into several lines; see - it did';

function program(): Command {
  const command = new Command('calico-x')
    .description(`Does ${meaning}`)
    .option('-c, --config-file <file>', meaning)
    .option('--an-option-with-a-rather-long-name <value>', 'short');
  command.addCommand(new Command('verb').description(meaning).option('--only-here', 'another'));
  return command.version('1', '--version');
}

test('every option and command of a help text is read, however its lines are broken', () => {
  const help = parseHelp(program().helpInformation());
  expect(help.usage).toBe('calico-x [options] [command]');
  expect(help.description).toBe(`Does ${meaning}`);
  expect(help.options.map(({ term }) => term)).toEqual(['-c, --config-file <file>', '--an-option-with-a-rather-long-name <value>', '--version', '-h, --help']);
  expect(help.options[0]!.text).toBe(meaning);
  expect(help.options[1]!.text).toBe('short');
  expect(help.commands[0]).toEqual({ term: 'verb [options]', text: meaning });
});

test('another text is refused', () => expect(() => parseHelp('calico-x: unknown option\n')).toThrow('no help text'));

test('a man page has the options of the help texts, with hyphens that can be copied', () => {
  const helps = [program(), program().commands[0]!].map((command) => parseHelp(command.helpInformation()));
  const page = manPage({ name: 'calico-x', section: 8, summary: 'does it' }, '1', helps);
  for (const text of ['\\-c, \\-\\-config\\-file <file>', '\\-\\-only\\-here', '\\-\\-an\\-option\\-with\\-a\\-rather\\-long\\-name <value>', '.SH COMMANDS'])
    expect(page).toContain(text);
  expect(page).toMatch(/^\.SH VERB$/m);
});
