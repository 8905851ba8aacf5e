import { expect, test } from 'vitest';
import { bgpSessions } from './bird.ts';

test('BIRD’s table of protocols tells the state of each BGP session', () => {
  const shown = `BIRD 2.0.12 ready.
Name       Proto      Table      State  Since         Info
device1    Device     ---        up     14:19:00.168  
kernel4    Kernel     master4    up     14:19:00.168  
host1      BGP        ---        up     14:19:03.632  Established   
host2      BGP        ---        start  2026-11-24 14:19:00  Passive       
host3      BGP        ---        start  14:19:00.168  Connect       Socket: Connection refused
host4      BGP        ---        down   14:19:00.168  
`;
  expect([...bgpSessions(shown)]).toEqual([
    ['host1', 'Established'],
    ['host2', 'Passive'],
    ['host3', 'Connect'],
    ['host4', 'Down'],
  ]);
});
