import { expect, test, vi } from 'vitest';
import { CodedError } from '../errors.ts';
import { fakeClock } from '../fake-clock.ts';
import { checkReport, type Readers } from './check.ts';
import { named, row } from './option.ts';
import { text, whole } from './parsers.ts';
import { resolveOptions, type Source } from './resolve.ts';

const table = named((key) => ({ cfg: [key], resource: [key] }), { Port: row(whole(1), 9, ''), Place: row(text, 'here', '', { required: true }) });
const source = (name: string, dialect: Source['dialect'], texts: Record<string, string>): Source => ({ name, dialect, texts: new Map(Object.entries(texts)) });
const file = source('a.cfg', 'cfg', { port: '1' });
const readers = (more: Partial<Readers> = {}): Readers => ({ readOptions: () => resolveOptions(table, [file]), ...more });
const nothing = { lines: [], complaints: [] };
const report = (given: Readers) => checkReport(given, [], fakeClock());

test('what the datastore sets is in force, with its place, and what else it says follows', async () => {
  const resolution = resolveOptions(table, [file, source('Resource default', 'resource', { port: '5', place: 'there' })]);
  const answer = { resolution, lines: ['spec.ready = true (Information)'], complaints: [] };
  expect(await report(readers({ readDatastore: async () => answer }))).toEqual({
    inForce: ['Port = 1 (a.cfg)', 'Place = there (Resource default)', 'spec.ready = true (Information)'],
    complaints: [],
  });
});

test('a complaint of both readings is reported once, and those of the datastore with it', async () => {
  const readOptions = () => resolveOptions(table, [source('a.cfg', 'cfg', { port: 'many' })]);
  const about = { option: '', source: 'Resource x', value: '', problem: 'it is no text' };
  const { complaints } = await report({ readOptions, readDatastore: async () => ({ ...nothing, resolution: readOptions(), complaints: [about] }) });
  expect(complaints).toEqual([expect.stringMatching(/^Port is "many" in a\.cfg: it must be/), 'Resource x: it is no text.']);
});

test('a datastore that cannot be read leaves what is known of this host, and is complained of', async () => {
  const readDatastore = () => Promise.reject(new CodedError('ETCD_UNAVAILABLE', 'no endpoint can be reached'));
  expect(await report(readers({ readDatastore }))).toEqual({
    inForce: ['Port = 1 (a.cfg)', 'Place = here (default)'],
    complaints: ['the datastore has not been read, so the report covers this host alone: no endpoint can be reached'],
  });
});

test('a datastore that does not answer is not waited for without end', async () => {
  const clock = fakeClock();
  const reporting = checkReport(readers({ readDatastore: () => new Promise(() => {}) }), [], clock);
  await clock.pass(9_999);
  const isDone = vi.fn();
  void reporting.then(isDone);
  await clock.pass(0);
  expect(isDone).not.toHaveBeenCalled();
  await clock.pass(1);
  expect((await reporting).complaints).toEqual([expect.stringContaining('etcd has not answered within 10 s')]);
});

test.each<readonly [string, Partial<Readers>, RegExp]>([
  [
    'a file that cannot be read',
    {
      readOptions: () => {
        throw new CodedError('X', 'cannot read it');
      },
    },
    /^cannot read it$/,
  ],
  [
    'an option that stops the start',
    { readOptions: () => resolveOptions({ ...table, Place: { ...table.Place, default: '' } }, []) },
    /Place is "" in the defaults/,
  ],
  ['a certificate that cannot be read', { verify: () => Promise.reject(new CodedError('X', 'no certificate')) }, /^no certificate$/],
])('%s is reported without asking the datastore', async (_, more, sentence) => {
  const readDatastore = vi.fn(async () => nothing);
  const { complaints } = await report(readers({ ...more, readDatastore }));
  expect(complaints).toEqual([expect.stringMatching(sentence)]);
  expect(readDatastore).not.toHaveBeenCalled();
});
