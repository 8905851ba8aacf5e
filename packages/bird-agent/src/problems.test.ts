import { recordingLog } from '@calico-openstack/agent';
import { expect, test } from 'vitest';
import { createProblemTeller } from './problems.ts';

test('trouble is told when it starts and when it ends, not every time', () => {
  const { log, entries } = recordingLog();
  const tell = createProblemTeller(log);
  const trouble = { key: 'BGPPeer tor', reason: 'spec.peerIP: is missing', effect: 'no session' };
  expect([tell([trouble]), tell([trouble]), tell([])]).toEqual([1, 1, 0]);
  expect(entries.map(({ message, fields }) => [message, fields['resource']])).toEqual([
    ['a resource or setting is not applied as written', 'BGPPeer tor'],
    ['a problem with a resource or setting is over', 'BGPPeer tor'],
  ]);
});

test('what was not looked at is as it was: one thing that stops everything does not end the rest', () => {
  const { log, entries } = recordingLog();
  const tell = createProblemTeller(log);
  const trouble = { key: 'BGPPeer tor', reason: 'spec.peerIP: is missing', effect: 'no session' };
  const stop = { key: 'BGPConfiguration default', reason: 'is not JSON', effect: 'nothing changes' };
  expect([tell([trouble]), tell([stop], false), tell([trouble])]).toEqual([1, 2, 1]);
  expect(entries.map(({ message, fields }) => [message, fields['resource']])).toEqual([
    ['a resource or setting is not applied as written', 'BGPPeer tor'],
    ['a resource or setting is not applied as written', 'BGPConfiguration default'],
    ['a problem with a resource or setting is over', 'BGPConfiguration default'],
  ]);
});
