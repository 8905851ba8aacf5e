import { hostEndpointsPrefix, workloadEndpointName } from '@calico-openstack/datamodel';
import { EtcdError } from '@calico-openstack/etcd';
import { fakeEtcd } from '@calico-openstack/etcd/fake';
import { expect, test } from 'vitest';
import { inDatastore } from './in-datastore.ts';

const keyOf = (host: string): string =>
  hostEndpointsPrefix(undefined, workloadEndpointName({ host, orchestrator: 'openstack', workload: 'vm', endpoint: 'port' }));
async function etcdWith(...hosts: readonly string[]) {
  const { etcd } = fakeEtcd();
  for (const host of hosts) await etcd.transact([], [{ put: keyOf(host), value: '{}' }]);
  return etcd;
}

test('what the agent would serve is counted, and another name of this host is complained of', async () => {
  const { lines, complaints } = await inDatastore({ host: 'h1', region: undefined }, await etcdWith('h1', 'H1', 'h2'));
  expect(lines).toEqual(['1 endpoints and 0 subnets (etcd)']);
  expect(complaints).toMatchObject([{ source: 'this host is h1, etcd knows H1', problem: expect.stringContaining('set [DEFAULT] host in neutron.conf') }]);
});

test('an agent that may not read other hosts’ endpoints reports the rest', async () => {
  const etcd = await etcdWith('h1', 'H1');
  const limited = {
    range: (prefix: string) => (/H1|h1\./.test(prefix) ? Promise.reject(new EtcdError('ETCD_DENIED', 'no right')) : etcd.range(prefix)),
  };
  expect(await inDatastore({ host: 'h1', region: undefined }, limited)).toEqual({ lines: ['1 endpoints and 0 subnets (etcd)'], complaints: [] });
  await expect(inDatastore({ host: 'h1', region: undefined }, { range: () => Promise.reject(new EtcdError('ETCD_TIMEOUT', 'late')) })).rejects.toThrow('late');
});
