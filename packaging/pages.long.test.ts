// The pages that need a Neutron server or an etcd with users, and the playbook: each followed on a clean machine.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { root } from './packages.ts';
import { areActive, type CleanMachine, openCleanMachine } from './testing/clean-machine.ts';
import { hostFiles, prepareNeutron, serverSystem, story } from './testing/neutron.ts';
import { follow } from './testing/pages.ts';

const patience = { timeout: 1_800_000 };
const debs = mkdtempSync(join(tmpdir(), `pages-${process.pid}-`));
const agents = ['calico-felix', 'calico-dhcp-agent', 'calico-bird-agent'];

beforeAll(() => {
  execFileSync(process.execPath, [join(import.meta.dirname, 'main.ts'), '--out', debs], { stdio: 'ignore' });
}, patience.timeout);
afterAll(() => rmSync(debs, { recursive: true, force: true }));

/** Runs the test on a machine of its own. */
async function on(use: (machine: CleanMachine) => Promise<void>): Promise<void> {
  const machine = await openCleanMachine({ '/debs': debs, '/ansible': join(import.meta.dirname, 'ansible') }, hostFiles, serverSystem);
  try {
    await use(machine);
  } finally {
    await machine.close();
  }
}

test('neutron-server.md, compute-host.md: a server and a host in one; a port of the host is served', patience, () =>
  on(async (machine) => {
    await prepareNeutron(machine);
    await follow(machine, 'neutron-server.md', '/debs');
    await follow(machine, 'compute-host.md', '/debs');
    await story(machine);
    await follow(machine, 'neutron-server.md', '/debs', (block) => block.startsWith('calico-resync'));
  }),
);

test('etcd.md: a host whose parts have certificates and least rights goes on working', patience, () =>
  on(async (machine) => {
    await machine.run(
      'cd /debs; apt-get install -y --no-install-recommends ./calico-openstack-*.deb ./calico-felix_*.deb ./calico-dhcp-agent_*.deb ./calico-bird-agent_*.deb',
    );
    await follow(machine, 'etcd.md', '/debs');
    const root =
      'export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=https://127.0.0.1:2379 ETCDCTL_CACERT=/root/etcd-tls/ca.pem ETCDCTL_CERT=/root/etcd-tls/root.pem ETCDCTL_KEY=/root/etcd-tls/root.key\n';
    const node = '/calico/resources/v3/projectcalico.org/nodes/host0';
    await machine.run(`${root}etcdctl del ${node}; systemctl restart ${agents.join(' ')}`);
    expect(await machine.until(`${root}etcdctl get --keys-only ${node} | grep .`)).toContain(node);
    await machine.until(areActive(agents));
    expect(await machine.run('ETCDCTL_API=3 etcdctl --endpoints http://127.0.0.1:2379 get x 2>&1 || true')).not.toBe('');
  }),
);

test('the playbook makes a compute host, and a second run changes nothing', patience, () =>
  on(async (machine) => {
    const play =
      "printf '[calico_compute]\\nhost0 ansible_connection=local ansible_python_interpreter=/usr/bin/python3\\n' > /root/inventory\nansible-playbook -i /root/inventory -e calico_become=false -e calico_packages=/debs -e calico_etcd_endpoints=http://127.0.0.1:2379 /ansible/compute-host.yml";
    expect(await machine.run(play)).toMatch(/host0 .*failed=0/);
    expect(await machine.until(`${areActive(agents)}systemctl is-enabled ${agents.join(' ')}`)).toBe('active\n'.repeat(3) + 'enabled\n'.repeat(3));
    expect(await machine.until('ETCDCTL_API=3 etcdctl get --keys-only --prefix /calico/resources/v3/projectcalico.org/nodes/ | grep .')).toContain('/host0');
    expect(await machine.run(play)).toMatch(/host0 .*changed=0 .*failed=0/);
  }),
);

test('pip installs the Python package into a virtual environment, where Neutron and nova-compute find its entry points', patience, () => {
  const [source, environment] = [join(debs, 'neutron'), join(debs, 'venv')];
  cpSync(join(root, 'neutron'), source, { recursive: true }); // pip builds in the folder
  execFileSync('python3', ['-m', 'venv', environment], { stdio: 'pipe' });
  const python = join(environment, 'bin/python');
  execFileSync(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', source], { stdio: 'pipe' });
  const groups = ['neutron.ml2.mechanism_drivers', 'neutron.core_plugins', 'os_vif'];
  const ask = `import importlib.metadata as m; e = m.entry_points(); print(*(p.name for g in ${JSON.stringify(groups)} for p in (e.select(group=g) if hasattr(e, "select") else e[g])))`;
  expect(execFileSync(python, ['-c', ask], { encoding: 'utf8' })).toBe('calico calico calico\n');
});
