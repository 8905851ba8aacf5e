import { describe, expect, test } from 'vitest';
import { connectEtcd } from './client.ts';
import { backoff } from './clock.ts';
import { parseEndpoint } from './endpoint.ts';

describe('endpoints', () => {
  test.each([
    ['http://127.0.0.1:2379', 'http://127.0.0.1:2379', '127.0.0.1', 2379, false],
    ['https://etcd-1.example:443/', 'https://etcd-1.example:443', 'etcd-1.example', 443, true],
    ['http://etcd-1:80', 'http://etcd-1:80', 'etcd-1', 80, false],
    ['https://[2001:db8::1]:2379', 'https://[2001:db8::1]:2379', '2001:db8::1', 2379, true],
    ['https://etcd-1', 'https://etcd-1:2379', 'etcd-1', 2379, true],
    ['http://[::1]', 'http://[::1]:2379', '::1', 2379, false],
  ])('%s is read', (text, url, host, port, secure) => {
    expect(parseEndpoint(text)).toEqual({ url, host, port, secure });
  });

  test.each(['127.0.0.1:2379', 'etcd', 'unix:///run/etcd', 'http://a/b', 'http://a:2379?x', 'http://a:99999', ''])('%j is refused with the reason', (text) => {
    expect(() => connectEtcd({ endpoints: [text] })).toThrow(
      expect.objectContaining({ code: 'ETCD_MISCONFIGURED', message: expect.stringContaining(JSON.stringify(text)) }),
    );
  });

  test.each([
    'http://root:secret@a:2379',
    'https://root:sec@ret@a',
    'root:secret@a:2379',
    'http://root:secret/#?@a:2379',
    'http://[root:secret@a]:2379',
    'http://:secret@a',
  ])('%j is refused, and its password is not repeated', (text) => {
    let refusal: unknown;
    try {
      connectEtcd({ endpoints: [text] });
    } catch (error) {
      refusal = error;
    }
    expect(refusal).toMatchObject({ code: 'ETCD_MISCONFIGURED', message: expect.stringContaining('…@') });
    expect(String(refusal)).not.toMatch(/sec|ret/);
  });

  test('none at all is refused', () => {
    expect(() => connectEtcd({ endpoints: [] })).toThrow(expect.objectContaining({ code: 'ETCD_MISCONFIGURED' }));
  });
});

describe('the pause after a failure', () => {
  test.each([
    [1, 100],
    [2, 200],
    [5, 1_600],
    [6, 2_000],
    [10_000, 2_000],
  ])('after %i failures is at most %i ms and at least half of it', (failures, most) => {
    expect([backoff(failures, 2_000, () => 0), backoff(failures, 2_000, () => 1)]).toEqual([most / 2, most]);
  });
});
