import { settled } from '@calico-openstack/agent/fake-clock';
import { beforeEach, describe, expect, test } from 'vitest';
import { EtcdError } from './errors.ts';
import { type FakeConnection, type FakeEtcd, fakeEtcd } from './fake.ts';
import { type LeasedWriter, writeUnderLease } from './leased-writer.ts';
import type { Lease } from './types.ts';

let fake: FakeEtcd;
let etcd: FakeConnection;
let beats: number;
let errors: string[];
beforeEach(() => {
  fake = fakeEtcd();
  etcd = fake.connect();
  beats = 0;
  errors = [];
});

const writer = (): LeasedWriter =>
  writeUnderLease(etcd, {
    ttlSeconds: 90,
    intervalMs: 30_000,
    operations: (lease) => [
      { put: '/status', value: String(beats), lease },
      { put: '/last', value: String(beats) },
    ],
    onWritten: () => {
      beats += 1;
    },
    onError: (error, failures) => errors.push(`${failures} ${error instanceof EtcdError ? error.code : String(error)}`),
    clock: fake.clock,
  });

describe('keys that live with their writer', () => {
  test('are written at once and at every interval, under one lease', async () => {
    writer();
    await settled();
    expect(fake.contents()).toEqual({ '/last': '0', '/status': '0' });
    const { lease } = (await fake.etcd.get('/status')).found!;
    await fake.advanceSeconds(600);
    expect(fake.contents()).toEqual({ '/last': '20', '/status': '20' });
    expect((await fake.etcd.get('/status')).found).toMatchObject({ lease, version: 21 });
  });

  test('are deleted when the writer is cut off for long; a key without a lease stays; both are written again once the writer is back', async () => {
    writer();
    await fake.advanceSeconds(30);
    etcd.cut(true);
    await fake.advanceSeconds(89);
    expect(fake.contents()).toHaveProperty(['/status']);
    await fake.advanceSeconds(1);
    expect(fake.contents()).toEqual({ '/last': '1' });
    expect(errors).toEqual(['1 ETCD_UNAVAILABLE', '2 ETCD_UNAVAILABLE', '3 ETCD_UNAVAILABLE']);
    etcd.cut(false);
    await fake.advanceSeconds(30);
    expect(fake.contents()).toEqual({ '/last': '2', '/status': '2' });
    etcd.cut(true);
    await fake.advanceSeconds(30);
    expect(errors.slice(3)).toEqual(['1 ETCD_UNAVAILABLE']);
  });

  test.each(['between two writes', 'between its renewal and the write'])('get a new lease when their lease is revoked %s', async (when) => {
    const leases: Lease[] = [];
    let revokeBeforeWrite = false;
    const { grantLease, transact } = etcd;
    etcd = {
      ...etcd,
      async grantLease(ttlSeconds) {
        leases.push(await grantLease(ttlSeconds));
        return leases.at(-1)!;
      },
      async transact(...transaction) {
        if (revokeBeforeWrite) await leases[0]!.revoke();
        revokeBeforeWrite = false;
        return transact(...transaction);
      },
    };
    writer();
    await settled();
    if (when === 'between two writes') await leases[0]!.revoke();
    else revokeBeforeWrite = true;
    await fake.advanceSeconds(60);
    expect(leases).toHaveLength(2);
    expect((await fake.etcd.get('/status')).found?.lease).toBe(leases[1]!.id);
    expect(errors).toEqual(when === 'between two writes' ? [] : ['1 ETCD_LEASE_GONE']);
  });

  test('stay until their lease expires when the writer is closed, or are deleted at once on request', async () => {
    const first = writer();
    await settled();
    await first.close();
    await fake.advanceSeconds(89);
    expect(fake.contents()).toHaveProperty(['/status']);
    await fake.advanceSeconds(1);
    expect(fake.contents()).toEqual({ '/last': '0' });
    const second = writer();
    await settled();
    await second.close({ revoke: true });
    expect(fake.contents()).toEqual({ '/last': '1' });
    expect(errors).toEqual([]);
  });
});
