// The packages: the same bytes from each build; and on a clean Debian with systemd as process 1: lintian, installation, a guest's traffic while they are upgraded and killed, a boot, what
// Prometheus and calico-diags see, removal.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { clusterInformation, endpointNumber, securityGroup, type TestEndpoint, tapOf, workloadEndpoint } from '../packages/felix/src/testing/resources.ts';
import { debianVersion, version } from './packages.ts';
import { areActive, type CleanMachine, openCleanMachine } from './testing/clean-machine.ts';
import { follow, inlineCommands, page } from './testing/pages.ts';
import { makeUpstreams, upstreamVersion } from './testing/upstream.ts';

/** Lintian and a boot take long on a busy machine, and the clean root when it is made first. */
const patience = { timeout: 600_000 };

const folder = mkdtempSync(join(tmpdir(), `clean-${process.pid}-`));
const [debs, again, older, upstreams] = ['debs', 'again', 'older', 'upstreams'].map((name) => join(folder, name)) as [string, string, string, string];
const olderVersion = '1:0.0.9-1';
const services = ['calico-felix', 'calico-dhcp-agent', 'calico-bird-agent', 'calico-neutron-driver'];
const install = 'apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io';

/** Values that no archive may hold. */
const secrets = { etcd: 'etcd-passw0rd', database: 'db-passw0rd', metadata: 'metadata-s3cret', bgp: 'bgp-passw0rd', key: 'MHcCAQEEIplantedkey' };

const [one, two] = [endpointNumber(1), endpointNumber(2)];

/** The same packages under an older version, without compression. */
function makeOlder(): void {
  mkdirSync(older);
  for (const file of readdirSync(debs)) {
    const tree = join(folder, 'tree');
    execFileSync('dpkg-deb', ['-R', join(debs, file), tree]);
    const control = join(tree, 'DEBIAN/control');
    writeFileSync(control, readFileSync(control, 'utf8').replaceAll(debianVersion(), olderVersion));
    execFileSync('dpkg-deb', ['--root-owner-group', '-Znone', '-b', tree, join(older, file)], { stdio: 'ignore' });
    rmSync(tree, { recursive: true });
  }
}

/** A guest in a network namespace behind its tap. */
const guest = ({ mac, addresses: [address] }: TestEndpoint, tap: string, name: string): string => `
ip netns add ${name}
ip link add ${tap} type veth peer name eth0 address ${mac} netns ${name}
ip link set ${tap} up
ip -n ${name} link set eth0 up
ip -n ${name} addr add ${address}/32 dev eth0
ip -n ${name} route add 10.65.0.1 dev eth0
ip -n ${name} route add default via 10.65.0.1
`;

let machine: CleanMachine;
let lintian: Promise<string>;
beforeAll(async () => {
  for (const out of [debs, again]) execFileSync(process.execPath, [join(import.meta.dirname, 'main.ts'), '--out', out], { stdio: 'ignore' });
  makeOlder();
  makeUpstreams(upstreams);
  machine = await openCleanMachine(
    { '/debs': debs, '/older': older, '/upstreams': upstreams, '/monitoring': join(import.meta.dirname, 'monitoring') },
    {
      '/etc/systemd/system/uplink.service': `[Unit]\nBefore=network.target bird.service\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'ip link set lo up; ip link add uplink type veth peer name fabric; ip link set fabric up; ip link set uplink up; ip addr add 192.0.2.10/24 dev uplink; ip route add default via 192.0.2.1'\n`,
      '/etc/systemd/system/multi-user.target.d/test.conf': '[Unit]\nWants=uplink.service nova-compute.service\n',
      '/etc/hostname': 'host0\n', // the name of the host in the endpoints
      // Stands for nova-compute, which starts VMs again after a boot, and notes what polices them by then.
      '/etc/systemd/system/nova-compute.service': `[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c '(systemctl is-active calico-felix; nft list table inet calico-felix) > /run/noting 2>&1; mv /run/noting /run/at-nova-compute'\n`,
      '/etc/calico/felix.cfg': '[global]\n',
    },
  );
  // In the background, because it takes longest. Lintian 2.116 does not know zstd, which dpkg reads on Debian 12 and Ubuntu 24.04, and which makes the packages in seconds.
  lintian = machine.run('lintian --suppress-tags malformed-deb-archive --tag-display-limit 0 --fail-on error,warning /debs/*.deb 2>/dev/null || true');
}, patience.timeout);
afterAll(async () => {
  await machine?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** The sequence numbers that a ping has been answered for, in their order. */
const answered = (ping: string): readonly number[] => [...ping.matchAll(/icmp_seq=(\d+) ttl/g)].map(([, sequence]) => Number(sequence));
const mainPid = async (unit: string): Promise<string> => (await machine.run(`systemctl show --property MainPID --value ${unit}`)).trim();
/** Prints the version of Felix's package. */
const installed = "dpkg -s calico-felix | sed -n 's/^Version: //p'";
const active = services.map(() => 'active\n').join('');

test('a second build makes the same bytes', () => {
  const hashes = (out: string) =>
    readdirSync(out).map((name) => [
      name,
      createHash('sha256')
        .update(readFileSync(join(out, name)))
        .digest('hex'),
    ]);
  expect(hashes(again)).toEqual(hashes(debs));
});

test('installed in one step, every unit starts in its sandbox and reports that it is ready', patience, async () => {
  await machine.run(`${install} /older/*.deb`);
  expect(await machine.until(areActive(services))).toBe(active);
  expect(await machine.run(installed)).toBe(`${olderVersion}\n`);
  expect(await machine.run(`for each in ${services.join(' ')}; do systemd-analyze security --no-pager $each.service | tail -1; done`)).not.toMatch(
    /UNSAFE|EXPOSED/,
  );
});

test('no packet of a guest is lost while all packages are upgraded, and while each agent is killed', patience, async () => {
  const values = [clusterInformation(), securityGroup('open', [{ action: 'Allow' }]), workloadEndpoint(one), workloadEndpoint(two)];
  for (const { key, value } of values) await machine.run(`ETCDCTL_API=3 etcdctl put '${key}' '${value}'`);
  await machine.run(guest(one, tapOf(one), 'g1') + guest(two, tapOf(two), 'g2'));
  await machine.until(`ip netns exec g1 ping -c 1 -W 1 ${two.addresses[0]}`);
  const before = await Promise.all(services.map(mainPid));
  await machine.run(`setsid ip netns exec g1 ping -n -i 0.01 ${two.addresses[0]} > /var/ping 2>&1 & echo $! > /var/ping.pid`);
  await machine.run(`${install} /debs/*.deb`);
  expect(await machine.until(areActive(services))).toBe(active);
  expect(await machine.run(installed)).toBe(`${debianVersion()}\n`);
  const upgraded = await Promise.all(services.map(mainPid));
  for (const [index, pid] of upgraded.entries()) expect(pid).not.toBe(before[index]);
  const dnsmasq = await machine.run('pgrep dnsmasq');
  await machine.run(`systemctl kill --kill-whom=main --signal=KILL ${services.join(' ')}`);
  for (const [index, unit] of services.entries())
    await machine.until(`systemctl is-active ${unit}; test "$(systemctl show --property MainPID --value ${unit})" != ${upgraded[index]}`);
  expect(await machine.run('pgrep dnsmasq')).toBe(dnsmasq); // guests' leases go on
  await machine.run('kill -INT $(cat /var/ping.pid)');
  await machine.until('! kill -0 $(cat /var/ping.pid)');
  const sequences = answered(await machine.run('cat /var/ping'));
  expect(sequences.length).toBeGreaterThan(100);
  expect(sequences).toEqual(sequences.map((_, index) => index + 1));
});

test('calico-diags holds what is needed, and no secret', patience, async () => {
  await machine.run(`
mkdir -p /etc/calico
printf '[global]\\nEtcdUsername = felix\\nEtcdPassword = ${secrets.etcd}\\n' > /etc/calico/bird-agent.cfg
printf '[database]\\nconnection = mysql+pymysql://neutron:${secrets.database}@db/neutron\\n[DEFAULT]\\nmetadata_proxy_shared_secret = ${secrets.metadata}\\n' > /etc/neutron/planted.conf
printf -- '-----BEGIN PRIVATE KEY-----\\n${secrets.key}\\n-----END PRIVATE KEY-----\\n' > /etc/calico/felix.key
printf 'protocol bgp fabric {\\n  password "${secrets.bgp}";\\n}\\n' > /etc/bird/planted.conf
for secret in ${Object.values(secrets).join(' ')}; do echo "a careless program wrote $secret here"; done >> /var/log/calico/careless.log
cat /etc/calico/felix.key >> /var/log/calico/careless.log
calico-diags --output /var/diags.tar.gz
mkdir /var/diags; tar -xzf /var/diags.tar.gz -C /var/diags --strip-components=1`);
  expect(await machine.run('stat -c %a /var/diags.tar.gz')).toBe('600\n');
  const found = await machine.run(`cd /var/diags; for secret in ${Object.values(secrets).join(' ')}; do grep -rl -e "$secret" . || true; done`);
  expect(found).toBe('');
  const files = (await machine.run('cd /var/diags; find . -type f -size +0 | sort')).split('\n');
  for (const file of [
    'LEFT-OUT.txt',
    'network/rules.nft',
    'network/routes',
    'logs/felix.log',
    'units/calico-felix',
    'journal/calico-felix',
    'configuration/calico-felix',
  ])
    expect(files).toContain(`./${file}`);
  const leftOut = await machine.run('cat /var/diags/LEFT-OUT.txt');
  expect(leftOut).toMatch(/logs\/careless\.log: \d+/);
  expect(leftOut).toContain('bird/planted.conf: 1\n');
  expect(leftOut).toContain('units/neutron-server: '); // there is no such unit on this host
  await machine.run('rm /etc/calico/bird-agent.cfg /etc/calico/felix.key /etc/neutron/planted.conf /etc/bird/planted.conf /var/log/calico/careless.log');
});

test('Prometheus reads the metrics with its certificate, takes the alert rules, and their tests hold', patience, async () => {
  await machine.run(`
mkdir -p /etc/calico/tls; cd /etc/calico/tls
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem 2>/dev/null
for name in felix prometheus; do
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=$name -keyout $name.key -out $name.csr 2>/dev/null
  echo subjectAltName=IP:127.0.0.1 > $name.ext
  openssl x509 -req -days 2 -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile $name.ext -out $name.pem 2>/dev/null
done
chmod 644 prometheus.key
cat >> /etc/calico/felix.cfg <<END
PrometheusMetricsEnabled = true
PrometheusMetricsHost = 127.0.0.1
PrometheusMetricsCertFile = /etc/calico/tls/felix.pem
PrometheusMetricsKeyFile = /etc/calico/tls/felix.key
PrometheusMetricsCAFile = /etc/calico/tls/ca.pem
PrometheusMetricsClientAuth = RequireAndVerifyClientCert
END
cat > /etc/prometheus/prometheus.yml <<END
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [/usr/share/calico-openstack/monitoring/alerts.yml]
scrape_configs:
  - job_name: calico-felix
    scheme: https
    tls_config: { ca_file: /etc/calico/tls/ca.pem, cert_file: /etc/calico/tls/prometheus.pem, key_file: /etc/calico/tls/prometheus.key }
    static_configs: [{ targets: ["127.0.0.1:9091"] }]
  - job_name: calico-bird-agent
    static_configs: [{ targets: ["127.0.0.1:9096"] }]
END
printf '[global]\\nPrometheusMetricsEnabled = true\\nPrometheusMetricsHost = 127.0.0.1\\n' > /etc/calico/bird-agent.cfg
promtool check config /etc/prometheus/prometheus.yml >/dev/null
systemctl restart calico-felix calico-bird-agent prometheus`);
  const ask = (query: string): string => `curl -sS --get --data-urlencode 'query=${query}' http://127.0.0.1:9090/api/v1/query`;
  expect(await machine.until(`${ask('felix_active_local_endpoints{job="calico-felix"} == 2')} | grep '"metric"'`)).toContain('127.0.0.1:9091');
  expect(await machine.run('curl -sS http://127.0.0.1:9090/api/v1/rules | grep -o \'"health":"[a-z]*"\' | sort -u')).toMatch(/^("health":"(ok|unknown)"\n)+$/);
  // Prometheus takes the query of each panel, and Felix's have something to show.
  const queries: string[] = [];
  JSON.parse(readFileSync(join(import.meta.dirname, 'monitoring/dashboard.json'), 'utf8'), (key, value: unknown) => {
    if (key === 'expr') queries.push(String(value).replaceAll('$instance', '.*'));
    return value;
  });
  expect(queries.length).toBeGreaterThan(10);
  for (const query of queries) expect(await machine.run(ask(query))).toContain('"status":"success"');
  for (const query of queries.filter((each) => /^felix_(active|cluster|invalid|refused)/.test(each))) await machine.until(`${ask(query)} | grep '"metric"'`);
  expect(await machine.run('curl -sS --cacert /etc/calico/tls/ca.pem https://127.0.0.1:9091/metrics || echo refused')).toBe('refused\n');
  expect(await machine.run('cp -r /monitoring /var/monitoring; promtool test rules /var/monitoring/alerts.test.yml 2>&1')).toContain('SUCCESS');
});

test(
  'each executable runs by its name and has a man page; a configuration with every option puts none in force; a host has less than 150 MB of it',
  patience,
  async () => {
    const executables = [...services, 'calico-resync', 'calico-openstack', 'calico-diags'];
    expect(await machine.run(`for each in ${executables.join(' ')}; do $each --version; done`)).toBe(executables.map(() => `${version()}\n`).join(''));
    await machine.run(`for each in ${executables.join(' ')}; do ls /usr/share/man/man?/$each.?.gz >/dev/null; done`);
    for (const [name, option] of Object.entries({ 'calico-resync': '--dry-run', 'calico-bird-agent': '--show', 'calico-openstack': '--hosts-file <file>' }))
      expect(await machine.run(`man -P cat ${name} | col -b`)).toContain(option);
    expect(await machine.run('/usr/bin/python3 -c \'import calico_openstack.driver, importlib.metadata as m; print(m.version("calico-openstack"))\'')).toBe(
      `${version()}\n`,
    );
    // The kernel keeps 15 characters of a name.
    for (const unit of services)
      expect(await machine.run(`ps -o comm= -p $(systemctl show --property MainPID --value ${unit})`)).toBe(`${unit.slice(0, 15)}\n`);
    for (const name of ['felix', 'bird-agent']) {
      await machine.run(`logrotate --force /etc/logrotate.d/calico-${name}`);
      expect(await machine.until(`ls /var/log/calico/${name}.log.1; test -e /var/log/calico/${name}.log`)).toContain(`${name}.log.1`);
    }
    const example = '/usr/share/doc/calico-felix/examples/felix.cfg';
    expect(
      await machine.run(`grep -vc '^#\\|^$\\|^\\[' ${example} || true; calico-felix -c ${example} --check-config 2>&1 | grep -c 'examples/felix.cfg)' || true`),
    ).toBe('0\n0\n');
    expect(Number(await machine.run('du -sk --apparent-size /usr/lib/calico-openstack | cut -f1'))).toBeLessThan(150_000);
  },
);

test('after a boot, Felix’s rules are there before nova-compute starts VMs again', patience, async () => {
  await lintian; // it runs in the machine
  await machine.reboot();
  const found = await machine.until('cat /run/at-nova-compute');
  expect(found).toMatch(/^active\n/);
  expect(found).toContain('table inet calico-felix');
  expect(await machine.until(areActive(services))).toBe(active);
});

test('lintian has nothing to say that is not answered with a reason', patience, async () => expect(await lintian).toBe(''));

test('removed, they leave what guests need and the operator’s files; purged, nothing of theirs', patience, async () => {
  const names = readdirSync(debs)
    .map((file) => file.replace(/_.*/, ''))
    .join(' ');
  await machine.run(`dpkg --remove ${names}`);
  expect(await machine.run(`systemctl is-active ${services.join(' ')} || true`)).toBe(services.map(() => 'inactive\n').join(''));
  expect(await machine.run('nft list tables')).toContain('table inet calico-felix');
  await machine.run(`dpkg --purge ${names}`);
  expect(await machine.run("find /etc /usr /lib/systemd /var/lib/systemd -xdev -name '*calico*' | sort")).toBe('/etc/calico\n');
});

test(
  'installed over upstream’s packages, they replace them, run, and keep every file that the operator wrote or changed; and the way back',
  patience,
  async () => {
    await machine.run(`${install} /upstreams/*.deb
printf '[global]\\nLogSeverityFile = info\\n' > /etc/calico/felix.cfg
echo '# mine' >> /etc/calico/felix.cfg.example
echo 'net.ipv4.ip_forward = 1' > /etc/sysctl.d/99-networking-calico.conf
echo 'router id 192.0.2.10; # by hand' > /etc/bird/bird.conf`);
    const kept = 'cat /etc/calico/felix.cfg /etc/calico/felix.cfg.example /etc/sysctl.d/99-networking-calico.conf /etc/neutron/neutron.conf | sha256sum';
    const before = await machine.run(kept);
    await follow(machine, 'from-upstream.md', '/debs');
    await machine.run(`${install} /debs/*.deb`);
    expect(await machine.run(kept)).toBe(before);
    expect(await machine.run('cat /etc/bird/bird.conf.before-calico')).toBe('router id 192.0.2.10; # by hand\n');
    expect(await machine.until(areActive(services))).toBe(active);
    const theirs = `dpkg -l | grep -c '^ii.* ${upstreamVersion} .*stands for' || true`;
    expect(await machine.run(theirs)).toBe('0\n');
    expect(await machine.run('for each in felix dhcp-agent resync diags; do readlink /usr/bin/calico-$each; done')).toMatch(
      /^(\.\.\/lib\/calico-openstack\/\S+\n){4}$/,
    );
    // By version, as docs/from-upstream.md says; here the versions are in files.
    await machine.run(`${install} --allow-downgrades /upstreams/*.deb`);
    expect(await machine.run(theirs)).toBe('7\n');
    expect(await machine.run(kept)).toBe(before);
    await machine.run(`dpkg --purge $(dpkg-query -W -f '\${Package} ' '*calico*'); rm -rf /etc/calico /etc/sysctl.d/99-networking-calico.conf`);
  },
);

test(
  'docs: whoever runs the pages’ commands on a clean machine sets up a compute host, upgrades it and goes back, finds out what is wrong, and removes it',
  patience,
  async () => {
    await machine.run('rm -rf /etc/calico /etc/bird/bird.conf.understood; ETCDCTL_API=3 etcdctl del --prefix /calico >/dev/null');
    await follow(machine, 'compute-host.md', '/older');
    const back = (block: string): boolean => block.includes('--allow-downgrades');
    await follow(machine, 'upgrades.md', '/debs', (block) => !back(block));
    expect(await machine.run(installed)).toBe(`${debianVersion()}\n`);
    const commands = inlineCommands(page('troubleshooting.md'), '127.0.0.1');
    expect(commands.length).toBeGreaterThan(4);
    for (const command of commands) await machine.until(command);
    await follow(machine, 'upgrades.md', '/older', back);
    expect(await machine.run(installed)).toBe(`${olderVersion}\n`);
    await follow(machine, 'hosts.md', '/debs');
    expect(await machine.run('nft list tables')).not.toContain('calico');
    expect(await machine.run("dpkg -l 'calico*' | grep '^ii' || echo none")).toBe('none\n');
  },
);
