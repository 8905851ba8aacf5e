import { expect, test } from 'vitest';
import { parseSessions } from './bird/sessions.ts';
import { readable } from './show.ts';

const said = `Name       Proto      Table      State  Since         Info
device1    Device     ---        up     01:14:27.769  
mesh4-r    BGP        ---        up     01:16:36.251  Established   
  BGP state:          Established
    Neighbor address: 192.0.2.5
    Neighbor AS:      64512
  Channel ipv4
    State:          UP
    Routes:         3 imported, 4 filtered, 2 exported, 3 preferred
mesh4-dead BGP        ---        start  2026-11-27    Connect       Socket: Network is unreachable
  BGP state:          Connect
    Neighbor address: 192.0.2.77
    Neighbor AS:      64512
    Last error:       Socket: Network is unreachable
  Channel ipv4
    State:          DOWN`.split('\n');

test('sessions are read with their routes, and with BIRD’s last words where one is down', () => {
  expect(parseSessions(said)).toEqual([
    {
      name: 'mesh4-r',
      neighbor: '192.0.2.5',
      asNumber: 64512,
      state: 'Established',
      since: '01:16:36.251',
      lastError: '',
      routes: { imported: 3, filtered: 4, exported: 2 },
    },
    {
      name: 'mesh4-dead',
      neighbor: '192.0.2.77',
      asNumber: 64512,
      state: 'Connect',
      since: '2026-11-27',
      lastError: 'Socket: Network is unreachable',
      routes: { imported: 0, filtered: 0, exported: 0 },
    },
  ]);
});

test('people read what is down first, and what is refused', () => {
  const text = readable({
    sessions: parseSessions(said),
    refused: [{ session: 'mesh4-r', count: 4, prefixes: ['0.0.0.0/0', '192.0.2.1/32', '203.0.113.5/32'] }],
  });
  expect(text.split('\n')).toEqual([
    '2 sessions, 1 established',
    'mesh4-dead  192.0.2.77 AS 64512  Connect      since 2026-11-27    0 learnt, 0 announced, 0 not accepted  Socket: Network is unreachable',
    'mesh4-r     192.0.2.5 AS 64512   Established  since 01:16:36.251  3 learnt, 2 announced, 4 not accepted',
    '',
    'Refused, since a neighbour cannot have them (a default route, a network, or the address of a host, of etcd or of a BGPPeer; of a guest whatever neither its port has nor a filter accepts):',
    "mesh4-r: 4 of its neighbour's routes are refused (0.0.0.0/0, 192.0.2.1/32, 203.0.113.5/32, …)",
    '',
  ]);
  expect(readable({ sessions: [], refused: [] })).toBe('0 sessions, 0 established\n');
});
