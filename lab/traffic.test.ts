import { expect, test } from 'vitest';
import { parsePing, parsePingLines } from './traffic.ts';

test.each([
  {
    what: 'all answered',
    said: '3 packets transmitted, 3 received, 0% packet loss, time 203ms\nrtt min/avg/max/mdev = 0.061/0.099/0.245/0.057 ms\n',
    report: { sent: 3, received: 3, averageMs: 0.099 },
  },
  {
    what: 'none answered',
    said: '3 packets transmitted, 0 received, 100% packet loss, time 408ms\n\n',
    report: { sent: 3, received: 0, averageMs: undefined },
  },
  {
    what: 'none answered, and a router said so',
    said: '2 packets transmitted, 0 received, +2 errors, 100% packet loss, time 1001ms\n',
    report: { sent: 2, received: 0, averageMs: undefined },
  },
])('the summary of a ping, $what, is parsed', ({ said, report }) => {
  expect(parsePing(`PING 10.65.0.12 (10.65.0.12) 56(84) bytes of data.\n\n--- 10.65.0.12 ping statistics ---\n${said}`)).toEqual(report);
});

test('a ping that never sent anything gives an error', () => {
  expect(() => parsePing('', 'ping: connect: Network is unreachable')).toThrow('Network is unreachable');
});

test('a long ping has lost the requests without an answer, up to the last that was answered', () => {
  const line = (sequence: number): string => `64 bytes from 10.65.0.12: icmp_seq=${sequence} ttl=61 time=0.5 ms\n`;
  expect(parsePingLines(`PING …\n${[1, 2, 5, 6].map(line).join('')}\n--- statistics ---\n9 packets transmitted, 4 received\n`)).toEqual({
    sent: 6,
    received: 4,
    averageMs: 0.5,
  });
  expect(parsePingLines('PING …\n')).toEqual({ sent: 0, received: 0, averageMs: undefined });
});
