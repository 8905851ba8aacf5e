import { recordingLog } from '@calico-openstack/agent';
import { expect, test } from 'vitest';
import { Guests } from './guests.ts';
import type { HostKernel } from './host-kernel.ts';

/** A kernel whose packet sockets are recorded. Without `right` it opens none. */
function world(right = true) {
  const { log, entries } = recordingLog();
  const done: string[] = [];
  const opened = { heard: (_linkIndex: number): void => undefined, macFor: (_linkIndex: number, _address: string): string | undefined => undefined };
  const open = (name: string): { close(): void } => {
    if (!right) throw new Error('EPERM');
    done.push(`open ${name}`);
    return { close: () => void done.push(`close ${name}`) };
  };
  const kernel: Pick<HostKernel, 'hearGuests' | 'answerForGateways'> = {
    hearGuests(onHeard) {
      opened.heard = onHeard;
      return open('hearing');
    },
    answerForGateways(macFor) {
      opened.macFor = macFor;
      return open('answers');
    },
  };
  const guests = new Guests(kernel, log, () => void done.push('heard'));
  return { guests, done, opened, said: () => entries.map(({ severity, message }) => `${severity} ${message.slice(0, 38)}`) };
}
const devices = { areAnyAwaited: true, heard: (linkIndex: number) => linkIndex === 7, macOfGateway: () => 'fe:16:3e:00:00:01' };

test('listens while a guest is awaited, and again for the next one', () => {
  const { guests, done } = world();
  guests.hearAwaited({ ...devices, areAnyAwaited: false });
  expect(done).toEqual([]);
  guests.hearAwaited(devices);
  guests.hearAwaited(devices);
  expect(done).toEqual(['open hearing']);
  guests.hearAwaited({ ...devices, areAnyAwaited: false });
  guests.hearAwaited({ ...devices, areAnyAwaited: false });
  guests.hearAwaited(devices);
  expect(done).toEqual(['open hearing', 'close hearing', 'open hearing']);
});

test('calls back for a guest that was awaited, and for no other', () => {
  const { guests, done, opened } = world();
  guests.hearAwaited(devices);
  opened.heard(8);
  expect(done).not.toContain('heard');
  opened.heard(7);
  expect(done).toContain('heard');
});

test('answers for the gateways of the devices, and closes both sockets in the end', () => {
  const { guests, done, opened } = world();
  guests.answerForGateways(devices);
  expect(opened.macFor(7, '10.65.0.1')).toBe('fe:16:3e:00:00:01');
  guests.hearAwaited(devices);
  guests.close();
  expect(done).toEqual(['open answers', 'open hearing', 'close answers', 'close hearing']);
});

test('without the right to open packet sockets, that is logged once for each migration, and nothing throws', () => {
  const { guests, said } = world(false);
  guests.answerForGateways(devices);
  guests.hearAwaited(devices);
  guests.hearAwaited(devices);
  expect(said()).toEqual(['WARNING cannot answer for the gateways of work', 'ERROR cannot hear the guests that migrate to']);
  guests.hearAwaited({ ...devices, areAnyAwaited: false });
  guests.hearAwaited(devices);
  expect(said()).toHaveLength(3);
  guests.close();
});
