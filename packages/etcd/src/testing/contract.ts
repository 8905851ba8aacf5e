// The promises of every `Etcd`: the unit tests run this suite on the fake, the system tests on a real etcd.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EtcdError, isTransient } from '../errors.ts';
import type { Compare, Etcd, Operation } from '../types.ts';
import { followContract } from './contract-follow.ts';
import { put, text, type World } from './world.ts';

/** Registers the suite. `open` makes a fresh world for each test. */
export function etcdContract(name: string, open: () => Promise<World>): void {
  describe(`${name} keeps etcd's promises`, () => {
    let world: World;
    let etcd: Etcd;
    beforeEach(async () => {
      world = await open();
      etcd = world.etcd;
    });
    afterEach(() => world.close());

    const write = async (...operations: Operation[]): Promise<number> => (await etcd.transact([], operations)).revision;
    const codeOf = (call: Promise<unknown>): Promise<unknown> =>
      call.then(() => 'no error').catch((error: unknown) => (error instanceof EtcdError ? error.code : error));

    describe('keys', () => {
      test('a value is read back byte by byte, with its revisions and its version', async () => {
        const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
        const first = await write({ put: '/a', value: bytes });
        const second = await write({ put: '/a', value: bytes });
        const { revision, found } = await etcd.get('/a');
        expect(second).toBe(first + 1);
        expect(revision).toBe(second);
        expect({ ...found, value: Array.from(found?.value ?? []) }).toEqual({
          key: '/a',
          value: Array.from(bytes),
          createRevision: first,
          modRevision: second,
          version: 2,
          lease: '0',
        });
      });

      test('a key that does not exist is reported as absent, at a revision', async () => {
        const revision = await write(put('/a', '1'));
        expect(await etcd.get('/a/b')).toMatchObject({ revision, found: undefined });
      });

      test('each answer says from which cluster and Raft term it is', async () => {
        const { origin } = await etcd.get('/a');
        expect(origin).toEqual({ clusterId: expect.stringMatching(/^\d+$/), term: expect.any(Number) });
        await write(put('/a', '1'));
        expect((await etcd.get('/a')).origin).toEqual(origin);
      });

      test('an empty value is a value', async () => {
        await write(put('/a', ''));
        expect(text((await etcd.get('/a')).found)).toBe('');
      });

      test('a deleted and recreated key starts anew', async () => {
        await write(put('/a', '1'));
        await write({ delete: '/a' });
        const revision = await write(put('/a', '2'));
        expect((await etcd.get('/a')).found).toMatchObject({ createRevision: revision, modRevision: revision, version: 1 });
      });

      test('a range holds all keys of the prefix and no others, sorted byte by byte', async () => {
        await write(...['/a', '/a/', '/a/2', '/a/10', '/a0', '/a/ü', '/a/\u{ffff}', '/a/\u{10000}', '/b'].map((key) => put(key, key)));
        expect((await etcd.range('/a/')).found.map(({ key }) => key)).toEqual(['/a/', '/a/10', '/a/2', '/a/ü', '/a/\u{ffff}', '/a/\u{10000}']);
        expect((await etcd.range('/a/\u{ffff}')).found.map(({ key }) => key)).toEqual(['/a/\u{ffff}']);
        expect((await etcd.range('')).found).toHaveLength(9);
        expect((await etcd.range('/c')).found).toEqual([]);
      });

      test('a range read in pages is the same as one read at once', async () => {
        await write(...Array.from({ length: 25 }, (_, index) => put(`/a/${index}`, String(index))));
        const whole = await etcd.range('/a/');
        for (const pageSize of [1, 24, 25, 26]) expect(await etcd.range('/a/', { pageSize })).toEqual(whole);
      });

      test('a range can be asked for at an earlier revision, also in pages', async () => {
        const revision = await write(put('/a/1', '1'), put('/a/2', '2'));
        await write(put('/a/1', 'new'), { delete: '/a/2' }, put('/a/3', 'new'));
        const { found, ...rest } = await etcd.range('/a/', { revision, pageSize: 1 });
        expect([rest, found.map(text)]).toEqual([{ revision }, ['1', '2']]);
      });

      test('a range of keys only brings no values', async () => {
        await write(put('/a/1', '1'));
        const { found } = await etcd.range('/a/', { keysOnly: true });
        expect(found.map(({ key, value }) => [key, value.length])).toEqual([['/a/1', 0]]);
      });
    });

    describe('transactions', () => {
      const existing = { key: '/there', value: 'here' };
      const comparisons: readonly [string, (revision: number) => Compare, boolean][] = [
        ['there, as it is', (revision) => ({ key: '/there', modRevision: revision }), true],
        ['there, as it was', (revision) => ({ key: '/there', modRevision: revision - 1 }), false],
        ['there, as absent', () => ({ key: '/there', modRevision: 0 }), false],
        ['there, exists', () => ({ key: '/there', exists: true }), true],
        ['there, does not exist', () => ({ key: '/there', exists: false }), false],
        ['there, its value', () => existing, true],
        ['there, its value as bytes', () => ({ ...existing, value: Buffer.from(existing.value) }), true],
        ['there, another value', () => ({ key: '/there', value: 'her' }), false],
        ['absent, as absent', () => ({ key: '/absent', modRevision: 0 }), true],
        ['absent, at a revision', (revision) => ({ key: '/absent', modRevision: revision }), false],
        ['absent, exists', () => ({ key: '/absent', exists: true }), false],
        ['absent, does not exist', () => ({ key: '/absent', exists: false }), true],
        ['absent, the empty value', () => ({ key: '/absent', value: '' }), false],
      ];

      test.each(comparisons)('a comparison decides the branch: %s', async (_, compare, succeeds) => {
        const revision = await write(put(existing.key, existing.value));
        const { succeeded } = await etcd.transact([compare(revision)], [put('/then', '')], [put('/otherwise', '')]);
        expect([succeeded, (await etcd.range('')).found.map(({ key }) => key)]).toEqual([succeeds, succeeds ? ['/then', '/there'] : ['/otherwise', '/there']]);
      });

      test('all comparisons must hold', async () => {
        await write(put('/there', 'here'));
        const both = [
          { key: '/there', exists: true },
          { key: '/absent', exists: true },
        ];
        expect((await etcd.transact(both, [])).succeeded).toBe(false);
        expect((await etcd.transact([], [])).succeeded).toBe(true);
      });

      test('all changes of a transaction have one revision', async () => {
        await write(put('/a/1', '1'), put('/a/2', '2'), put('/b', '3'));
        const revision = await write({ deletePrefix: '/a/' }, put('/b', '4'), put('/c', '5'));
        const { found } = await etcd.range('');
        expect(found.map(({ key, modRevision }) => [key, modRevision])).toEqual([
          ['/b', revision],
          ['/c', revision],
        ]);
      });

      test('a transaction returns the results of its reads in order, in the branch that was taken', async () => {
        await write(put('/a', '1'), put('/b', '2'));
        const reads = [{ get: '/b' }, { get: '/none' }, { get: '/a' }];
        expect((await etcd.transact([], [put('/c', ''), ...reads])).found.map(text)).toEqual(['2', undefined, '1']);
        const refused = await etcd.transact([{ key: '/a', exists: false }], [{ get: '/b' }], [{ get: '/a' }]);
        expect([refused.succeeded, refused.found.map(text)]).toEqual([false, ['1']]);
      });

      test('a transaction that changes nothing leaves the revision alone', async () => {
        const revision = await write(put('/a', '1'));
        expect(await write({ delete: '/none' }, { deletePrefix: '/none/' }, { get: '/a' })).toBe(revision);
      });

      test.each<[string, Operation[]]>([
        ['two puts', [put('/a', '1'), put('/a', '2')]],
        ['a put and a deletion', [put('/a', '1'), { delete: '/a' }]],
        ['a put and a deletion of its prefix', [{ deletePrefix: '/' }, put('/a', '1')]],
      ])('one transaction cannot change a key twice: %s', async (_, operations) => {
        expect(await codeOf(etcd.transact([], operations))).toBe('ETCD_REFUSED');
        expect((await etcd.range('')).found).toEqual([]);
      });

      test('of two racing writers that saw the same revision, one wins', async () => {
        const revision = await write(put('/a', '1'));
        const when = [{ key: '/a', modRevision: revision }];
        const results = await Promise.all([etcd.transact(when, [put('/a', '2')]), world.other.transact(when, [put('/a', '3')])]);
        expect(results.map(({ succeeded }) => succeeded).sort()).toEqual([false, true]);
      });
    });

    describe('leases', () => {
      test('keys under a lease are deleted together when it is revoked', async () => {
        const lease = await etcd.grantLease(60);
        await write({ ...put('/a', '1'), lease: lease.id }, { ...put('/b', '2'), lease: lease.id }, put('/c', '3'));
        expect((await etcd.get('/a')).found?.lease).toBe(lease.id);
        await lease.revoke();
        const { revision, found } = await etcd.range('');
        expect(found.map(({ key }) => key)).toEqual(['/c']);
        expect((await etcd.range('', { revision: revision - 1 })).found).toHaveLength(3);
      });

      test('a key that was put again without the lease outlives it', async () => {
        const lease = await etcd.grantLease(60);
        await write({ ...put('/a', '1'), lease: lease.id });
        await write(put('/a', '2'));
        await lease.revoke();
        expect((await etcd.get('/a')).found).toMatchObject({ lease: '0', version: 2 });
      });

      test('a lease can be kept alive until it is gone, and revoked more than once', async () => {
        const lease = await etcd.grantLease(60);
        expect(await lease.keepAlive()).toBe(true);
        await lease.revoke();
        expect(await lease.keepAlive()).toBe(false);
        await expect(lease.revoke()).resolves.toBeUndefined();
      });

      test('a put under a lease that is gone is refused whole', async () => {
        const lease = await etcd.grantLease(60);
        await lease.revoke();
        expect(await codeOf(etcd.transact([], [put('/b', ''), { ...put('/a', ''), lease: lease.id }]))).toBe('ETCD_LEASE_GONE');
        expect((await etcd.range('')).found).toEqual([]);
      });

      test('a lease that nobody renews expires, and its keys are deleted', async () => {
        const { recorder } = await import('./recorder.ts');
        let lease = await etcd.grantLease(2);
        // On a busy machine it may have expired before it is used.
        while ((await codeOf(write({ ...put('/a', '1'), lease: lease.id }))) === 'ETCD_LEASE_GONE') lease = await etcd.grantLease(2);
        const told = recorder();
        const follower = etcd.follow(['/'], told);
        await told.until(({ inSyncs }) => inSyncs === 1);
        await world.passSeconds(lease.ttlSeconds + 1);
        await told.until(({ held }) => held.size === 0);
        expect(await lease.keepAlive()).toBe(false);
        follower.close();
      });
    });

    describe('trouble', () => {
      test('the history before a compaction is gone, the present values stay', async () => {
        const old = await write(put('/a', '1'));
        const revision = await write(put('/a', '2'));
        await etcd.compact(revision);
        expect(await codeOf(etcd.range('/', { revision: old }))).toBe('ETCD_COMPACTED');
        expect((await etcd.range('/', { revision })).found.map(text)).toEqual(['2']);
        expect((await etcd.range('/')).found.map(text)).toEqual(['2']);
      });

      test('a revision that is compacted already, or does not exist yet, cannot be compacted or read', async () => {
        const revision = await write(put('/a', '1'));
        await etcd.compact(revision);
        expect(await codeOf(etcd.compact(revision))).toBe('ETCD_COMPACTED');
        expect(await codeOf(etcd.compact(revision + 1))).toBe('ETCD_COMPACTED');
        expect(await codeOf(etcd.range('/', { revision: revision + 1 }))).toBe('ETCD_COMPACTED');
      });

      test('calls of a client that is cut off reject with a transient error, and work again when it is reconnected', async () => {
        await write(put('/a', '1'));
        await world.cut();
        for (const call of [() => etcd.get('/a'), () => etcd.transact([], [put('/a', '2')]), () => etcd.grantLease(5), () => etcd.status()]) {
          const error: unknown = await call().catch((each: unknown) => each);
          expect([error instanceof EtcdError && error.code, isTransient(error)]).toEqual(['ETCD_UNAVAILABLE', true]);
        }
        await world.join();
        expect(text((await etcd.get('/a')).found)).toBe('1');
      });

      test('calls of a closed client reject with ETCD_CLOSED', async () => {
        etcd.close();
        expect(await codeOf(etcd.get('/a'))).toBe('ETCD_CLOSED');
        expect(isTransient(new EtcdError('ETCD_CLOSED', ''))).toBe(false);
      });

      test('closing ends calls that are under way, and is allowed twice', async () => {
        const call = codeOf(etcd.get('/a'));
        etcd.close();
        etcd.close();
        expect(await call).toBe('ETCD_CLOSED');
      });

      test('its members tell their client URLs', async () => {
        const members = await etcd.members();
        expect(members.length).toBeGreaterThan(0);
        for (const { clientUrls } of members) expect(clientUrls).toEqual(expect.arrayContaining([expect.stringMatching(/:\d+$/)]));
      });

      test('its status tells the revision', async () => {
        const revision = await write(put('/a', '1'));
        expect(await etcd.status()).toMatchObject({ revision, version: expect.any(String), endpoint: expect.stringMatching(/^http/) });
      });
    });

    followContract(() => world);
  });
}
