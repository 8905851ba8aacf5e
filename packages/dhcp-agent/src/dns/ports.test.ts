import { expect, test } from 'vitest';
import type { PortTexts } from '../port-texts.ts';
import { servePort } from '../service/serve.ts';
import { facts, serviceOptions, subnet } from '../testing/facts.ts';
import { createDnsServer, parseNames } from './ports.ts';

const subnets = [subnet('10.65.0.0/24', { gatewayIp: '10.65.0.1' }), subnet('2001:db8:a::/64', { gatewayIp: '2001:db8:a::1' })];
const served = (fqdn?: string) => servePort(facts({ addresses: ['10.65.0.11', '2001:db8:a::11'], subnets, fqdn }), serviceOptions).service!.dns;

function disk() {
  const files = new Map<string, string>();
  const texts: PortTexts = {
    read: () => new Map(files),
    write: (tap, text) => void files.set(tap, text),
    remove: (tap) => void files.delete(tap),
    close: () => undefined,
  };
  return { files, texts };
}

test('what one agent serves the next one has from its start on', () => {
  const { files, texts } = disk();
  const changed: string[] = [];
  const first = createDnsServer(texts, (tap) => changed.push(tap));
  expect(first.serve('tap1-aa', 'any', served('vm-1.cloud.example'))).toBe(true);
  expect(first.serve('tap1-aa', 'any', served('vm-1.cloud.example'))).toBe(false);
  expect(createDnsServer(texts, () => undefined).ports.get('tap1-aa')).toEqual(served('vm-1.cloud.example'));
  expect([first.withdraw('tap1-aa'), first.withdraw('tap1-aa'), files.size]).toEqual([true, false, 0]);
  expect(changed).toEqual(['tap1-aa', 'tap1-aa']);
});

test.each(['', '{}', 'null', '[1', JSON.stringify({ ...served(), hostname: 'a\nserver=x' }), JSON.stringify({ ...served(), addresses: ['10.0.0.1', 'x'] })])(
  'a file that the agent would not have written is removed: %s',
  (text) => {
    const { files, texts } = disk();
    files.set('tap1-aa', `${text}\n`);
    expect(parseNames(`${text}\n`)).toBeUndefined();
    expect(createDnsServer(texts, () => undefined).ports.size).toBe(0);
    expect(files.size).toBe(0);
  },
);
