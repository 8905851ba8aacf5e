import { expect, test } from 'vitest';
import { recordingLog } from '../log.ts';
import { parseIni } from './ini.ts';
import { optionList } from './listing.ts';
import { inSection, named, row } from './option.ts';
import { text, truth, whole } from './parsers.ts';
import { complaintText, inForce, logComplaints, optionsInForce, resolveOptions, type Source } from './resolve.ts';
import { confTexts, environmentSource, libcalicoSource } from './sources.ts';

const table = {
  ...named((key) => ({ environment: [`PART_${key}`], cfg: [key] }), {
    Host: row(text, 'here', 'who it is', { required: true, none: 'refused' }),
    Port: row(whole(1, 65535), 9, 'where it listens', { also: { cfg: ['Port', 'OldPort'], libcalico: ['ANY_PORT'] } }),
    File: row<string | undefined>(text, '/a', 'what it reads', { none: { value: undefined } }),
    Password: row<string | undefined>(text, undefined, 'its secret'),
  }),
  ...named((key) => ({ cfg: [key], resource: [key] }), { Loud: row(truth, false, 'how loud') }),
};

const cfg = (values: Record<string, string>): Source => ({
  name: 'part.cfg',
  dialect: 'cfg',
  texts: new Map(Object.entries(values).map(([name, value]) => [name.toLowerCase(), value])),
});
const resource = (values: Record<string, string>): Source => ({ ...cfg(values), name: 'resource', dialect: 'resource' });

test('the first source that says something wins, by any of the option’s names in any case, and empty says nothing', () => {
  const environment = environmentSource({ part_PORT: '1', PART_HOST: ' ', OTHER_PORT: '5' }, 'PART_');
  const { values, setBy } = resolveOptions(table, [environment, cfg({ port: '2', HOST: 'h' }), resource({ loud: 'yes' })]);
  expect(values).toEqual({ Host: 'h', Port: 1, File: '/a', Password: undefined, Loud: true });
  expect([...setBy].map(([name, { source }]) => [name, source])).toEqual([
    ['Host', 'part.cfg'],
    ['Port', 'environment'],
    ['Loud', 'resource'],
  ]);
  expect(resolveOptions(table, [cfg({ OldPort: '3' })]).values.Port).toBe(3);
  expect(resolveOptions(table, [cfg({ OldPort: '3', Port: '4' })]).values.Port).toBe(4);
});

test('a variable that every client of Calico’s datastore reads counts with and without CALICO_, which wins', () => {
  const port = (environment: Record<string, string>): number => resolveOptions(table, [libcalicoSource(environment)]).values.Port;
  expect([port({ ANY_PORT: '2' }), port({ CALICO_ANY_PORT: '3' }), port({ CALICO_ANY_PORT: '3', ANY_PORT: '2' })]).toEqual([2, 3, 3]);
});

test('a bad text gives way to the next source, and says so', () => {
  const { values, complaints } = resolveOptions(table, [cfg({ Port: 'x' }), libcalicoSource({ ANY_PORT: '2' })]);
  expect(values.Port).toBe(2);
  expect(complaints).toEqual([
    { option: 'Port', source: 'part.cfg', value: 'x', problem: "it must be a whole number from 1 to 65535; the next source's value or the default is used" },
  ]);
  const { log, entries } = recordingLog();
  logComplaints(log, complaints);
  expect(entries).toMatchObject([{ fields: { option: 'Port', source: 'part.cfg', value: 'x' }, message: expect.stringMatching(/^configuration: it must be/) }]);
});

test('a bad text of what nothing can be done without stops the start, all of them in one message; while running the last good value stays', () => {
  const both = { ...table, Other: { ...table.Port, required: true as const, names: { cfg: ['Other'] } } };
  const wrong = [cfg({ Host: 'none', Other: '0' })];
  expect(() => inForce(resolveOptions(both, wrong))).toThrow(
    'Host is "none" in part.cfg: it must be set to something. Correct it there, then start again.\nOther is "0" in part.cfg: it must be a whole number from 1 to 65535.',
  );
  const good = inForce(resolveOptions(both, [cfg({ Host: 'h', Other: '7' })]));
  const { values, complaints } = resolveOptions(both, wrong, good);
  expect(values).toEqual(good);
  expect(complaints).toMatchObject([{ problem: expect.stringMatching(/the last good value stays$/) }, {}]);
  expect(complaints.some(({ stops }) => stops)).toBe(false);
});

test('what must be set and is not stops the start', () => {
  const nameless = { Host: { ...table.Host, default: '' } };
  expect(() => inForce(resolveOptions(nameless, []))).toThrow('Host is "" in the defaults: it is empty, and must be set.');
});

test('what is for the host alone is not taken from the datastore', () => {
  const { values, complaints } = resolveOptions(table, [resource({ port: '3' })]);
  expect(values.Port).toBe(9);
  expect(complaints).toMatchObject([{ option: 'Port', source: 'resource', problem: expect.stringMatching(/environment or file only/) }]);
});

test('names that no option has are known as such, and everybody else’s variables are not', () => {
  const { unknown } = resolveOptions(table, [
    cfg({ Prot: '3', Host: 'h' }),
    environmentSource({ PART_PROT: '1', PATH: '/' }, 'PART_'),
    libcalicoSource({ PATH: '/' }),
  ]);
  expect(unknown.map(({ name }) => name)).toEqual(['prot', 'part_prot']);
});

test('what is in force is shown with where it comes from, and no secret', () => {
  const resolution = resolveOptions(table, [cfg({ File: 'none', Password: 'hunter2', Port: '7' })]);
  expect(optionsInForce(resolution)).toEqual([
    'Host = here (default)',
    'Port = 7 (part.cfg)',
    'File = none (part.cfg)',
    'Password = … (part.cfg)',
    'Loud = false (default)',
  ]);
  expect(complaintText({ option: '', source: 'a resource', value: '', problem: 'is no text' })).toBe('a resource: is no text.');
});

test('a table is printed for people', () => {
  expect(optionList({ Port: table.Port, Loud: table.Loud, ...inSection('calico', { etcd_port: row(whole(1), 2379, 'a | b') }) }, { live: true })).toBe(
    [
      '| option | default | live | meaning |',
      '| --- | --- | --- | --- |',
      '| `Port`, `OldPort` | `9` |  | where it listens |',
      '| `Loud` | `false` | yes | how loud |',
      '| `[calico] etcd_port` | `2379` |  | a \\| b |',
    ].join('\n'),
  );
});

const conf = inSection('calico', { etcd_port: row(text, '', '', {}), empty: row(text, 'default', '', { empty: { value: 'nothing' } }) });
const inConf = (...texts: string[]) =>
  resolveOptions(
    conf,
    confTexts(
      texts.map((content, index) => ({ path: `file-${index}`, ini: parseIni(content, '', 'conf') })),
      { 'DEFAULT/state_path': '/var/lib' },
    ),
  ).values;

test.each<readonly [string, string]>([
  ['[calico]\netcd_port = $state_path/x', '/var/lib/x'],
  [`[DEFAULT]\nstate_path = /srv\n[calico]\netcd_port = \${state_path}/x`, '/srv/x'],
  ['[calico]\nstate_path = /own\netcd_port = $state_path', '/own'],
  [`[other]\nname = a$state_path\n[calico]\netcd_port = \${other.name}`, 'a/var/lib'],
  ['[calico]\netcd_port = $unknown', '$unknown'],
  ['[calico]\netcd_port = a$$b\\$c', 'a$b$c'],
  ['[calico]\netcd_port = 1\netcd_port = 2', '2'],
  ['[Calico]\netcd_port = 3', '3'],
])('neutron.conf: %j says %j', (content, value) => expect(inConf(content).etcd_port).toBe(value));

test('neutron.conf: a value that stands for itself ends nowhere, and harms nobody', () => {
  expect(inConf('[calico]\netcd_port = $etcd_port').etcd_port).toBe('$etcd_port');
  expect(inConf('[calico]\netcd_port = $a$a\na = $etcd_port$etcd_port').etcd_port.length).toBeLessThan(100_000);
});

test('neutron.conf: of several files the last one counts, and names of others are found in all', () => {
  expect(inConf('[calico]\netcd_port = $state_path\n', '[DEFAULT]\nstate_path = /late').etcd_port).toBe('/late');
  expect(inConf('[calico]\netcd_port = 1\n', '[calico]\netcd_port = 2').etcd_port).toBe('2');
});

test('neutron.conf: the environment beats the files, as OS_<GROUP>__<OPTION> in upper case, and has a part in what names stand for', () => {
  const files = [{ path: 'f', ini: parseIni('[DEFAULT]\nstate_path = /srv\n[calico]\netcd_port = $state_path', '', 'conf') }];
  const portIn = (environment: Record<string, string>) => resolveOptions(conf, confTexts(files, {}, environment)).values.etcd_port;
  expect(portIn({ OS_CALICO__ETCD_PORT: '5', OS_CALICO_ETCD_PORT: '6' })).toBe('5');
  expect(portIn({ OS_CALICO__ETCD_PORT: '$state_path/x' })).toBe('/srv/x');
  expect(portIn({ OS_DEFAULT__STATE_PATH: '/env' })).toBe('/env');
  expect(portIn({ os_calico__etcd_port: '5', OS_CALICO__etcd_port: '6', OS_calico__ETCD_PORT: '7', CALICO__ETCD_PORT: '8' })).toBe('/srv');
});

test('neutron.conf: an option of the environment that is not known is found there', () => {
  const { unknown } = resolveOptions(conf, confTexts([], {}, { OS_CALICO__ETCD_HOTS: 'x', OS_AUTH_URL: 'http://keystone' }));
  expect(unknown).toMatchObject([{ name: 'calico/etcd_hots', text: 'x', source: { name: 'environment' } }]);
});

test('none turns off what can be off, but in neutron.conf, which does not know the word', () => {
  const off = { Off: row<string | undefined>(text, 'on', '', { none: { value: undefined } }) };
  const both = named((key) => ({ cfg: [key], conf: [`calico/${key}`] }), off);
  expect(resolveOptions(both, [cfg({ Off: 'None' })]).values.Off).toBeUndefined();
  expect(resolveOptions(both, [{ name: 'f', dialect: 'conf', texts: new Map([['calico/Off', 'none']]) }]).values.Off).toBe('none');
});

test('neutron.conf: an empty text says what the option lets it say, and elsewhere nothing', () => {
  expect([inConf('[calico]\nempty =').empty, inConf('').empty]).toEqual(['nothing', 'default']);
});
