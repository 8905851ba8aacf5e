import { settled } from '@calico-openstack/agent/fake-clock';
import { endpointStatusKey, endpointStatusPrefix, hostEndpointStatusKey, hostEndpointStatusPrefix } from '@calico-openstack/datamodel';
import { fakeEtcd } from '@calico-openstack/etcd/fake';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createEndpointStatusReporter } from './endpoints.ts';

const keyOf = (endpoint: string, host = 'h1'): string => endpointStatusKey(undefined, { host, orchestrator: 'openstack', workload: 'openstack/vm', endpoint });
const prefixes = [endpointStatusPrefix(undefined, 'h1'), hostEndpointStatusPrefix('h1')];
const up = '{"status":"up"}';
const down = '{"status":"down"}';

async function world(...before: (readonly [string, string])[]) {
  const fake = fakeEtcd();
  const other = fake.connect();
  await other.transact(
    [],
    before.map(([key, value]) => ({ put: key, value })),
  );
  let woken = 0;
  const reporter = createEndpointStatusReporter(fake.etcd, prefixes, () => {
    woken += 1;
  });
  await settled();
  return {
    fake,
    other,
    reporter,
    woken: () => woken,
    async writeAll() {
      while (await reporter.write());
      await settled();
    },
    contents: () => fake.contents('/calico/felix/'),
  };
}

describe('endpoint statuses', () => {
  test('are written once, and not again when nothing is new', async () => {
    const { reporter, writeAll, contents, woken, other } = await world();
    reporter.want(keyOf('a'), 'down');
    reporter.want(keyOf('a'), 'up'); // a flap before the write causes no write
    expect(woken()).toBeGreaterThan(0);
    await writeAll();
    expect(contents()).toEqual({ [keyOf('a')]: up });
    const { revision } = await other.get(keyOf('a'));
    reporter.want(keyOf('a'), 'up');
    expect(reporter.pending).toBe(0);
    await writeAll();
    expect((await other.get(keyOf('a'))).revision).toBe(revision);
  });
  test('of endpoints that are gone go, of other hosts stay, and what is not understood is written anew', async () => {
    const { reporter, writeAll, contents } = await world([keyOf('old'), up], [keyOf('x', 'h2'), up], [keyOf('odd'), '{']);
    reporter.want(keyOf('odd'), 'down');
    await writeAll();
    expect(contents()).toEqual({ [keyOf('odd')]: down, [keyOf('x', 'h2')]: up });
  });
  test('of host endpoints are kept like those of workloads', async () => {
    const [old, mine, others] = [hostEndpointStatusKey('h1', 'old'), hostEndpointStatusKey('h1', 'eth0'), hostEndpointStatusKey('h2', 'eth0')];
    const { reporter, writeAll, contents, other } = await world([old, up], [others, up]);
    reporter.want(mine, 'error');
    reporter.want(keyOf('a'), 'up');
    await writeAll();
    expect(contents()).toEqual({ [mine]: '{"status":"error"}', [keyOf('a')]: up, [others]: up });
    await other.transact([], [{ delete: mine }]);
    await settled();
    await writeAll();
    expect(contents()).toHaveProperty([mine]);
  });
  test('that somebody deletes or changes come back', async () => {
    const { reporter, writeAll, contents, other } = await world();
    reporter.want(keyOf('a'), 'up');
    reporter.want(keyOf('b'), 'down');
    await writeAll();
    await other.transact([], [{ delete: keyOf('a') }, { put: keyOf('b'), value: up }]);
    await settled();
    expect(reporter.pending).toBe(2);
    await writeAll();
    expect(contents()).toEqual({ [keyOf('a')]: up, [keyOf('b')]: down });
  });
  test('wait for etcd, and then only the latest is written', async () => {
    const { fake, reporter, writeAll, contents } = await world();
    fake.setDown(true);
    reporter.want(keyOf('a'), 'up');
    await expect(reporter.write()).rejects.toMatchObject({ code: 'ETCD_UNAVAILABLE' });
    reporter.want(keyOf('a'), 'down');
    fake.setDown(false);
    await fake.advanceSeconds(60);
    await writeAll();
    expect(contents()).toEqual({ [keyOf('a')]: down });
  });
  test('of hundreds of endpoints are written in batches that etcd takes', async () => {
    const { reporter, writeAll, contents } = await world();
    for (let number = 0; number < 250; number += 1) reporter.want(keyOf(`e${number}`), 'up');
    await writeAll();
    expect(Object.keys(contents())).toHaveLength(250);
  });
  test.each(['up', undefined] as const)(
    '%s: what another writes right after us is put right, though it is told before our own write is answered',
    async (status) => {
      const fake = fakeEtcd();
      const other = fake.connect();
      await other.transact([], [{ put: keyOf('a'), value: down }]);
      let answer: Promise<unknown> = Promise.resolve();
      const transact: typeof fake.etcd.transact = async (...question) => {
        const result = await fake.etcd.transact(...question);
        await answer;
        return result;
      };
      const reporter = createEndpointStatusReporter({ ...fake.etcd, transact }, prefixes, () => undefined);
      await settled();
      reporter.want(keyOf('a'), status);
      const held = Promise.withResolvers<void>();
      answer = held.promise;
      const writing = reporter.write();
      await settled();
      await other.transact([], [status ? { delete: keyOf('a') } : { put: keyOf('a'), value: down }]);
      await settled();
      held.resolve();
      await writing;
      while (await reporter.write());
      expect(fake.contents()).toEqual(status ? { [keyOf('a')]: up } : {});
    },
  );
  test('are written anew to an etcd that was emptied, though its revisions begin again', async () => {
    const { fake, other, reporter, writeAll, contents } = await world();
    for (let count = 0; count < 50; count += 1) await other.transact([], [{ put: '/x', value: '' }]);
    reporter.want(keyOf('a'), 'up');
    reporter.want(keyOf('b'), 'down');
    await writeAll();
    fake.replace();
    await settled();
    await writeAll();
    expect(contents()).toEqual({ [keyOf('a')]: up, [keyOf('b')]: down });
    reporter.want(keyOf('a'), 'down');
    await other.transact([], [{ delete: keyOf('b') }]);
    await settled();
    await writeAll();
    expect(contents()).toEqual({ [keyOf('a')]: down, [keyOf('b')]: down });
  });
  test('that a restored backup took back are written again, and what it brought back goes', async () => {
    const { fake, other, reporter, writeAll, contents } = await world();
    reporter.want(keyOf('a'), 'up');
    reporter.want(keyOf('b'), 'up');
    await writeAll();
    const backup = Object.entries(contents());
    reporter.want(keyOf('a'), 'down');
    reporter.want(keyOf('b'), undefined);
    await writeAll();
    fake.replace();
    await other.transact(
      [],
      backup.map(([key, value]) => ({ put: key, value })),
    );
    await settled();
    await writeAll();
    expect(contents()).toEqual({ [keyOf('a')]: down });
  });
  const names = ['a', 'b', 'c'] as const;
  const status = fc.constantFrom('up', 'down', undefined);
  const step = fc.oneof(
    fc.record({ what: fc.constant('want' as const), name: fc.constantFrom(...names), status }),
    fc.record({ what: fc.constant('others write' as const), name: fc.constantFrom(...names), status }),
    fc.record({ what: fc.constantFrom('write' as const, 'settle' as const, 'back up' as const, 'wipe' as const, 'restore' as const, 'down and up' as const) }),
  );
  const inTheEnd = fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
    const { fake, other, reporter, writeAll, contents } = await world();
    const wanted: Record<string, string> = {};
    let backup: Record<string, string> = {};
    let writing: Promise<unknown> = Promise.resolve();
    for (const each of steps) {
      switch (each.what) {
        case 'want':
          reporter.want(keyOf(each.name), each.status);
          if (each.status) wanted[keyOf(each.name)] = `{"status":"${each.status}"}`;
          else delete wanted[keyOf(each.name)];
          break;
        case 'others write':
          await other.transact([], [each.status ? { put: keyOf(each.name), value: `{"status":"${each.status}"}` } : { delete: keyOf(each.name) }]);
          break;
        case 'write': // the write is not awaited, so that the next steps happen during it
          writing = writing.then(() => reporter.write()).catch((error: unknown) => expect(error).toMatchObject({ code: 'ETCD_UNAVAILABLE' }));
          break;
        case 'settle':
          await settled();
          break;
        case 'back up':
          backup = contents();
          break;
        case 'wipe':
          fake.replace();
          break;
        case 'restore':
          fake.replace();
          for (const [key, value] of Object.entries(backup)) await other.transact([], [{ put: key, value }]);
          break;
        case 'down and up':
          fake.setDown(true);
          await settled();
          fake.setDown(false);
          break;
        default:
          throw new Error(each satisfies never);
      }
    }
    await writing;
    await settled();
    await writeAll();
    expect(contents()).toEqual(wanted);
  });
  test('are in the end as is wanted, whatever others and etcd did meanwhile', () => fc.assert(inTheEnd, { numRuns: 200 }));
});
