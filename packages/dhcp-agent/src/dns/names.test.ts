import { expect, test } from 'vitest';
import type { DnsService } from '../service/service.ts';
import { ip } from '../testing/facts.ts';
import { type Query, recordType } from './message.ts';
import { createPortNames } from './names.ts';

const port = (hostname: string, addresses: readonly string[], some: Partial<DnsService> = {}): DnsService => ({
  family: 'dns',
  networkId: 'net-a',
  hostname,
  domain: 'cloud.example',
  addresses: addresses.map(ip),
  resolvers: [],
  createdMs: 1,
  ...some,
});
const asked = (name: string, type: number = recordType.a): Query => ({
  id: 1,
  flags: 0,
  name,
  type,
  class: 1,
  question: new Uint8Array(),
  edns: false,
  longestBytes: 512,
});

function names(ports: Readonly<Record<string, DnsService>>) {
  const all = createPortNames();
  for (const [tap, one] of Object.entries(ports)) all.set(tap, one);
  return all;
}

test('a port of a network finds the others by their names, with and without domain, and by their addresses', () => {
  const all = names({ tap1: port('Vm-1', ['10.0.0.1', '2001:db8::1']), tap2: port('vm-2', ['10.0.0.2']) });
  expect(all.find('tap2', asked('vm-1.cloud.example'))).toEqual([{ address: '10.0.0.1' }]);
  expect(all.find('tap2', asked('vm-1', recordType.aaaa))).toEqual([{ address: '2001:db8::1' }]);
  expect(all.find('tap2', asked('vm-1', recordType.any))).toHaveLength(2);
  expect(all.find('tap2', asked('1.0.0.10.in-addr.arpa', recordType.ptr))).toEqual([{ name: 'vm-1.cloud.example' }]);
  expect(all.find('tap2', asked('vm-1', 16))).toEqual([]); // the name exists, and nobody outside is asked for it
  expect(all.find('tap2', asked('vm-3.cloud.example'))).toBeUndefined();
  expect(all.find('tap3', asked('vm-1'))).toBeUndefined();
});

test('each network has its own names', () => {
  const all = names({ tap1: port('web', ['10.0.0.1']), tap2: port('web', ['10.0.0.2'], { networkId: 'net-b', createdMs: 0 }), tap3: port('db', ['10.0.0.3']) });
  expect(all.find('tap3', asked('web'))).toEqual([{ address: '10.0.0.1' }]);
  expect(all.find('tap2', asked('web'))).toEqual([{ address: '10.0.0.2' }]);
  expect(all.find('tap2', asked('db'))).toBeUndefined();
  expect(all.find('tap2', asked('3.0.0.10.in-addr.arpa', recordType.ptr))).toBeUndefined();
});

test('of two ports with one name the older has it, and the other gets it when that one is gone', () => {
  const all = names({ tap1: port('db', ['10.0.0.1'], { createdMs: 2 }), tap2: port('db', ['10.0.0.2'], { createdMs: 1 }) });
  expect(all.find('tap1', asked('db'))).toEqual([{ address: '10.0.0.2' }]);
  all.set('tap2', undefined);
  expect(all.find('tap1', asked('db'))).toEqual([{ address: '10.0.0.1' }]);
});

test('a port that changes loses its former names and addresses', () => {
  const all = names({ tap1: port('old', ['10.0.0.1']) });
  all.set('tap1', port('new', ['10.0.0.2'], { domain: undefined }));
  expect([all.tapOf(ip('10.0.0.1')), all.tapOf(ip('10.0.0.2'))]).toEqual([undefined, 'tap1']);
  expect([all.find('tap1', asked('old')), all.find('tap1', asked('new'))]).toEqual([undefined, [{ address: '10.0.0.2' }]]);
});
