import { EtcdError } from '@calico-openstack/etcd';
import { expect, test, vi } from 'vitest';
import { startFelix } from './start.ts';

const opened = vi.hoisted(() => ({ kernels: 0 }));
vi.mock('./host-kernel.ts', () => ({
  openHostKernel() {
    opened.kernels += 1;
    throw new Error('touched');
  },
}));

test('an etcd that cannot be opened ends the start before the kernel is touched', async () => {
  vi.stubEnv('FELIX_LOGFILEPATH', 'none');
  vi.stubEnv('FELIX_LOGSEVERITYSCREEN', 'none');
  vi.stubEnv('FELIX_ETCDENDPOINTS', 'https://127.0.0.1:1');
  vi.stubEnv('FELIX_ETCDCAFILE', '/nonexistent/ca.pem');
  await expect(startFelix([])).rejects.toThrow(EtcdError);
  expect(opened.kernels).toBe(0);
  vi.stubEnv('FELIX_ETCDCAFILE', 'none');
  await expect(startFelix([])).rejects.toThrow('touched');
  vi.unstubAllEnvs();
});
