import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { PortTexts } from '../port-texts.ts';
import { servePort } from '../service/serve.ts';
import { cidr, ip, serviceOptions } from '../testing/facts.ts';
import { hostilePort, hostileText } from '../testing/hostile.ts';
import { port6 } from '../testing/port6.ts';
import { createIpv6Server, parsePort } from './ports.ts';

function setUp(files = new Map<string, string>()) {
  const changed: string[] = [];
  const disk: PortTexts = {
    read: () => new Map(files),
    write: (tap, text) => void files.set(tap, text),
    remove: (tap) => void files.delete(tap),
    close: () => undefined,
  };
  return { files, changed, disk, server: createIpv6Server(disk, (tap) => changed.push(tap)) };
}

test('a port is served until it is withdrawn, also by the next agent; serving it in the same way changes nothing', () => {
  const { files, changed, server } = setUp();
  const port = port6({ autonomous: [cidr('2001:db8:b::/64')], options: [{ code: 59, hex: '7466' }], domain: undefined });
  expect(server.serve('tap1', port.mac, port)).toBe(true);
  expect(server.serve('tap1', port.mac, { ...port })).toBe(false);
  const next = setUp(files);
  expect([...next.server.ports]).toEqual([['tap1', port]]);
  expect(next.server.serve('tap1', port.mac, port)).toBe(false);
  expect(next.server.withdraw('tap1')).toBe(true);
  expect(next.server.withdraw('tap1')).toBe(false);
  expect([changed, next.changed]).toEqual([['tap1'], ['tap1']]);
  expect([files.size, next.server.ports.size]).toEqual([0, 0]);
});

test('a port that the disk refuses is not served', () => {
  const { disk, server } = setUp();
  disk.write = () => {
    throw new Error('ENOSPC');
  };
  expect(() => server.serve('tap1', 'x', port6())).toThrow('ENOSPC');
  expect(server.ports.size).toBe(0);
});

test('files that this agent would not have written are removed', () => {
  const good = setUp();
  good.server.serve('tap1', 'x', port6());
  const text = good.files.get('tap1')!;
  const files = new Map([
    ['tap1', text],
    ['.tap2', text],
    ['eth0', text],
    ['tap3', ''],
    ['tap4', text.replace('2001:db8:a::11', '10.0.0.1')],
    ['tap5', text.slice(0, -10)],
    ['tap6', text.replace('stateful', 'wild')],
  ]);
  expect([...setUp(files).server.ports.keys()]).toEqual(['tap1']);
  expect([...files.keys()]).toEqual(['tap1']);
});

test('whatever a tenant chose, a file reads back as what was written; whatever stands in a file, it is a port or none', () => {
  let read = 0;
  fc.assert(
    fc.property(hostilePort, hostileText, (hostile, text) => {
      parsePort(text);
      const service = servePort(hostile, serviceOptions).service?.ipv6;
      if (!service) return;
      const { files, server } = setUp();
      server.serve('tap1', service.mac, service);
      expect(parsePort(files.get('tap1')!)).toEqual(JSON.parse(JSON.stringify(service)));
      read += 1;
    }),
  );
  expect(read).toBeGreaterThan(10);
  expect(parsePort(JSON.stringify(ip('::1')))).toBeUndefined();
});
