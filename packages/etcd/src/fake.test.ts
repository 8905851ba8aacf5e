import { fakeEtcd } from './fake.ts';
import { etcdContract } from './testing/contract.ts';

etcdContract('the fake', async () => {
  const fake = fakeEtcd();
  return {
    etcd: fake.etcd,
    other: fake.connect(),
    cut: async () => fake.etcd.cut(true),
    join: async () => fake.etcd.cut(false),
    replace: async () => fake.replace(),
    passSeconds: fake.advanceSeconds,
    close: async () => fake.etcd.close(),
  };
});
