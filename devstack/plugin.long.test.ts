// DevStack's plugin on a clean machine: its phases in DevStack's order, with functions that do what DevStack's do, packages that apt installs, units that systemd starts, and a Neutron that
// loads what the phases have written.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { root } from '../packaging/packages.ts';
import { areActive, type CleanMachine, openCleanMachine } from '../packaging/testing/clean-machine.ts';
import { hostFiles, prepareNeutron, serverSystem, startNeutron, story } from '../packaging/testing/neutron.ts';

const patience = { timeout: 1_800_000 };
const debs = mkdtempSync(join(tmpdir(), `devstack-${process.pid}-`));

/** Stands for DevStack's functions and variables, and for what its own code writes of the variables that the settings have set. */
const devstack = `
TOP_DIR=/opt/stack/devstack DEST=/opt/stack DATA_DIR=/opt/stack/data STACK_USER=stack HOST_IP=192.0.2.10 SERVICE_HOST=192.0.2.10
NEUTRON_CONF=/etc/neutron/neutron.conf Q_PLUGIN_CONF_FILE=etc/neutron/plugins/ml2/ml2_conf.ini
CALICO_PACKAGES=/debs
ENABLED_SERVICES=q-svc,q-agt,q-dhcp,q-l3,q-meta,n-cpu,ovn-controller,ovn-northd
is_service_enabled() { case ",$ENABLED_SERVICES," in *",$1,"*) true ;; *) false ;; esac; }
disable_service() { local each; for each in "$@"; do ENABLED_SERVICES=$(printf %s ",$ENABLED_SERVICES," | sed "s/,$each,/,/;s/^,//;s/,$//"); done; }
enable_service() { local each; for each in "$@"; do is_service_enabled "$each" || ENABLED_SERVICES+=,$each; done; }
is_ubuntu() { true; }
die() { echo "died: $2" >&2; exit 1; }
sudo() { "$@"; }
install_package() { apt-get install -y --no-install-recommends "$@" >/dev/null; }
pip_install() { /usr/bin/python3 "$1/make_site.py" /usr/lib/python3/dist-packages; }
iniset() { python3 - "$@" <<'END'
import configparser, sys
file, section, key, *value = sys.argv[1:]
one = configparser.RawConfigParser(strict=False)
one.optionxform = str
one.read(file)
if section != 'DEFAULT' and not one.has_section(section): one.add_section(section)
one.set(section, key, ' '.join(value))
with open(file, 'w') as out: one.write(out)
END
}
run_process() { if is_service_enabled "$1"; then chown -R stack "$DATA_DIR"; systemd-run --quiet --unit "devstack@$1" --uid stack $2; fi; }
stop_process() { systemctl stop "devstack@$1"; }
set -e
. /opt/stack/calico/devstack/settings
phase() { . /opt/stack/calico/devstack/plugin.sh "$@"; }
`;
/** What DevStack writes itself between the plugin's phases. */
const written = `
iniset $NEUTRON_CONF DEFAULT service_plugins "$ML2_L3_PLUGIN"
iniset /$Q_PLUGIN_CONF_FILE ml2 mechanism_drivers "$Q_ML2_PLUGIN_MECHANISM_DRIVERS"
iniset /$Q_PLUGIN_CONF_FILE ml2 type_drivers "$Q_ML2_PLUGIN_TYPE_DRIVERS"
iniset /$Q_PLUGIN_CONF_FILE ml2 extension_drivers "$Q_ML2_PLUGIN_EXT_DRIVERS"
`;

let machine: CleanMachine;
beforeAll(async () => {
  execFileSync(process.execPath, [join(root, 'packaging/main.ts'), '--out', debs], { stdio: 'ignore' });
  machine = await openCleanMachine({ '/debs': debs, '/checkout': root }, hostFiles, serverSystem);
  // The checkout is the one that runs this test; what the plugin's own step would install in it is there.
  await machine.run(`useradd --create-home stack; mkdir -p /opt/stack/data /opt/stack/calico/tools; chown stack /opt/stack/data
for each in devstack neutron packages node_modules; do ln -s /checkout/$each /opt/stack/calico/$each; done
printf '#!/bin/sh\\necho "$@" > /opt/stack/installed\\n' > /opt/stack/calico/tools/install; chmod +x /opt/stack/calico/tools/install
chown -R stack /etc/neutron
systemctl stop etcd 2>/dev/null || true
systemd-run --quiet --unit devstack@etcd etcd --data-dir /var/lib/etcd-devstack --listen-client-urls http://192.0.2.10:2379,http://127.0.0.1:2379 --advertise-client-urls http://192.0.2.10:2379`);
  await prepareNeutron(machine);
}, patience.timeout);
afterAll(async () => {
  await machine?.close();
  rmSync(debs, { recursive: true, force: true });
});

const stack = (script: string): Promise<string> => machine.run(`${devstack}${script}`);

test('the settings take DevStack’s own agents away, and enable what Calico needs', patience, async () => {
  const services = (await stack('echo "$ENABLED_SERVICES"')).trim().split(',').sort();
  expect(services).toEqual(['calico-driver', 'etcd3', 'n-api-meta', 'n-cpu', 'q-svc']);
  expect(
    await stack(
      'SERVICE_HOST=192.0.2.99 ENABLED_SERVICES=n-cpu; unset CALICO_ETCD_ENDPOINTS; . /opt/stack/calico/devstack/settings; echo "$ENABLED_SERVICES $CALICO_ETCD_ENDPOINTS"',
    ),
  ).toBe('n-cpu,n-api-meta http://192.0.2.99:2379\n');
});

test('stack.sh: after its phases Neutron loads the driver, and a port of this host is served', patience, async () => {
  await stack(`phase stack pre-install; phase stack install; ${written} phase stack post-config`);
  expect(await machine.run('cat /opt/stack/installed')).toBe('package\n');
  await machine.until(areActive(['calico-felix', 'calico-dhcp-agent', 'calico-bird-agent', 'devstack@calico-driver']));
  await startNeutron(machine, 'stack');
  await stack('phase stack extra');
  await story(machine);
});

test('stack.sh ends with the reason when an agent does not run', patience, async () => {
  await machine.run('systemctl stop calico-bird-agent');
  await expect(stack('phase stack extra')).rejects.toThrow('calico-bird-agent does not run');
  await machine.run('systemctl start calico-bird-agent');
});

test('unstack.sh stops all, clean.sh takes away all that was made', patience, async () => {
  await stack('phase unstack');
  expect(await machine.run('systemctl is-active calico-felix calico-dhcp-agent calico-bird-agent devstack@calico-driver || true')).not.toContain('\nactive');
  await machine.run('ip link delete guest'); // and its tap, as when Nova deletes the VM
  await stack('phase clean');
  expect(await machine.run('nft list tables')).not.toContain('calico');
  expect(await machine.run('ip route')).not.toContain('10.65.0.');
  expect(await machine.run('pgrep dnsmasq || echo none')).toBe('none\n');
  expect(await machine.run("find /etc /usr /lib/systemd /opt/stack/data -xdev -name '*calico*' -not -name 'calico_openstack*' | sort")).toBe('/etc/calico\n');
});
