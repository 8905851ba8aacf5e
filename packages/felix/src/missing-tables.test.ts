import { recordingLog } from '@calico-openstack/agent';
import type { TableName } from '@calico-openstack/render';
import { expect, test } from 'vitest';
import { MissingTables } from './missing-tables.ts';

function world(missing: readonly TableName[]) {
  const { log, entries } = recordingLog();
  const state = { missing, polices: false };
  const done: string[] = [];
  const tables = new MissingTables({
    dataplane: {
      closeWhatIsOpen: () => state.missing,
      missingTables: () => state.missing,
      putBack: (names) => void done.push(`put back ${names.join()}`),
    },
    stamping: { rulesGone: () => void done.push('stamps gone') },
    anotherPolices: () => state.polices,
    interfacePrefixes: () => ['tap', 'qvo'],
    log,
  });
  return { tables, state, done, said: () => entries.map(({ message, fields }) => ({ ...fields, removed: message.startsWith('somebody else has removed') })) };
}
const both: readonly TableName[] = ['inet', 'arp'];
const closed = { tables: 'inet calico-felix,arp calico-felix', interfaces: 'tap*,qvo*', removed: false };

test('the tables that were closed at the start are logged, and nothing is when there was none to close', () => {
  const some = world(both);
  some.tables.makeClosed();
  expect(some.said()).toEqual([closed]);
  const none = world([]);
  none.tables.makeClosed();
  expect(none.said()).toEqual([]);
});

test('tables that another program has removed are installed again; the stamps go with the table inet', () => {
  const w = world(both);
  expect(w.tables.areAny).toBe(true);
  w.tables.putBack(true);
  expect(w.done).toEqual(['stamps gone', 'put back inet,arp']);
  expect(w.said()).toEqual([{ tables: closed.tables, removed: true }]);
  const arp = world(['arp']);
  expect(arp.tables.areAny).toBe(true);
  arp.tables.putBack(true);
  expect(arp.done).toEqual(['put back arp']);
});

test('when none is missing, nothing is done', () => {
  const w = world([]);
  expect(w.tables.areAny).toBe(false);
  w.tables.putBack(true);
  expect([w.done, w.said()]).toEqual([[], []]);
});

test('while another Felix polices and the datastore has not been read, nothing is closed; once it has been read, ours are installed again', () => {
  const w = world(both);
  w.state.polices = true;
  w.tables.putBack(false);
  expect(w.done).toEqual([]);
  w.tables.putBack(true);
  expect(w.done).toContain('put back inet,arp');
});

test('before the datastore has been read, tables that are put back are closed ones, which is logged', () => {
  const w = world(both);
  w.tables.putBack(false);
  expect(w.done).toContain('put back inet,arp');
  expect(w.said()).toEqual([{ tables: closed.tables, removed: true }, closed]);
});
