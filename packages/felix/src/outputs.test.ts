import { type OpenLog, Registry, recordingLog, StartError } from '@calico-openstack/agent';
import { expect, test, vi } from 'vitest';
import { Outputs } from './outputs.ts';
import { createSettingsKeeper, localSources } from './settings.ts';

const done = vi.hoisted(() => [] as string[]);
vi.mock('@calico-openstack/agent', async (load) => ({
  ...(await load<object>()),
  startPages: (name: string) => ({
    serve: (at: { readonly port: number } | undefined) => void done.push(`${name} at ${at?.port ?? 'nowhere'}`),
    async close() {
      await new Promise((resolve) => setImmediate(resolve));
      done.push(`${name} closed`);
    },
  }),
}));

const configOf = (settings: Readonly<Record<string, string>>) =>
  createSettingsKeeper(localSources([], { FELIX_FELIXHOSTNAME: 'host0', FELIX_ETCDENDPOINTS: 'http://127.0.0.1:2379', ...settings })).settings.config;
const config = configOf({ FELIX_HEALTHENABLED: 'true', FELIX_HEALTHPORT: '9099', FELIX_PROMETHEUSMETRICSENABLED: 'true', FELIX_PROMETHEUSMETRICSPORT: '9091' });

function world(configure: OpenLog['configure']) {
  done.length = 0;
  const { log, entries } = recordingLog();
  return { outputs: new Outputs({ log, configure, reopen: () => undefined }, new Registry()), said: () => entries.map(({ message }) => message.slice(0, 26)) };
}

test('log, health and metrics go where the settings want them, and the pages close in the end', async () => {
  const { outputs, said } = world(() => void done.push('log'));
  expect(done).toEqual([]);
  outputs.configure(config);
  expect([done, said()]).toEqual([['log', 'health at 9099', 'metrics at 9091'], []]);
  done.length = 0;
  await outputs.close();
  expect(done).toEqual(['health closed', 'metrics closed']);
});

test('a log file that cannot be written is logged, and the pages are served all the same', () => {
  const { outputs, said } = world(() => {
    throw new StartError('LOG_UNUSABLE', 'it is a directory');
  });
  outputs.configure(config);
  expect([done, said()]).toEqual([['health at 9099', 'metrics at 9091'], ['cannot write this log file']]);
});

test('the components are called as those of upstream’s Felix, and are not ready at first', () => {
  const { outputs } = world(() => undefined);
  expect([outputs.health.live, outputs.health.ready]).toEqual([true, false]);
  for (const component of Object.values(outputs.components)) component.report({ live: true, ready: true });
  expect(outputs.health.ready).toBe(true);
  for (const name of ['FelixStartup', 'CalculationGraph', 'InternalDataplaneMainLoop']) expect(outputs.health.table()).toContain(name);
});
