import { silentLog } from '@calico-openstack/agent';
import { fakeEtcd } from '@calico-openstack/etcd/fake';
import { expect, test } from 'vitest';
import { keysOf } from './sync/plan.ts';
import { createSync } from './sync/sync.ts';
import { database } from './testing/database.ts';
import { eventually } from './testing/eventually.ts';
import { subnetRow } from './testing/rows.ts';
import { addresses, defaultQosOptions } from './testing/settings.ts';
import { startUpkeep } from './upkeep.ts';

test.each([true, false])('an etcd that was emptied is filled again, and then called ready (startup_resync: %s)', async (startupResync) => {
  const { etcd, contents, replace } = fakeEtcd();
  const db = database();
  db.tables.subnets.set('s1', subnetRow({ id: 's1' }));
  const settings = { keys: keysOf(undefined), qos: defaultQosOptions };
  const projects = async () => new Map();
  const notAsked = (): Promise<never> => Promise.reject(new Error('not asked for'));
  const source = {
    ...db.source,
    page: async (kind: 'ports' | 'subnets' | 'security_groups' | 'address_groups', after: string) => {
      const ids = db.ids(kind).filter((id) => id > after);
      return { ids, rows: db.read({ ports: [], subnets: [], security_groups: [], address_groups: [], [kind]: ids }) };
    },
    ...{ portsOf: notAsked, setPortStatus: notAsked, notifyPortActive: notAsked, reportAgents: notAsked },
  };
  const quiet = { onFailed: () => {}, onWrote: () => {}, onWarning: () => {} };
  const sync = createSync({ etcd, settings, projects, addresses });
  const upkeep = startUpkeep({ etcd, startupResync, resync: { etcd, source, sync, settings, projects, addresses, ...quiet }, log: silentLog() });
  const ready = (): void => expect(JSON.stringify(contents())).toContain('datastoreReady');
  await eventually(ready);
  replace();
  upkeep.replaced('restored');
  await eventually(ready);
  expect(Object.keys(contents())).toContain(settings.keys.subnet('s1'));
  await upkeep.close();
});
