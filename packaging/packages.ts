// Defines the Debian packages: the files, dependencies and replaced packages of each.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { options as birdAgent } from '../packages/bird-agent/src/option-table.ts';
import { options as dhcpAgent } from '../packages/dhcp-agent/src/option-table.ts';
import { parameters } from '../packages/felix/src/option-table.ts';
import { options as neutronDriver } from '../packages/neutron-driver/src/option-table.ts';
import type { Entry, Package } from './deb.ts';
import { exampleConfiguration } from './example.ts';
import { type Help, parseHelp } from './help.ts';
import { bundledModules } from './licences.ts';
import { type Described, manPage } from './man.ts';

/** The project's folder. */
export const root: string = join(import.meta.dirname, '..');

/** Where a package's part of the workspace lies on a host. The executables find Node and their bundles relative to themselves, as in a checkout. */
const home = '/usr/lib/calico-openstack';

/** The properties in which the kinds of machine differ. */
export type Runtime = {
  /** Debian's name of the architecture. */
  readonly architecture: 'amd64' | 'arm64';
  /** A `node_modules` with Node and koffi for it. */
  readonly modules: string;
  /** A folder with the Python package as pip would install it. */
  readonly site: string;
};

/** `commands` are those that have options of their own. */
type Executable = Described & { readonly room: string; readonly commands?: readonly string[] };

const felix: Executable = {
  name: 'calico-felix',
  room: 'felix',
  section: 8,
  summary: 'routes and security groups of a compute host’s OpenStack workloads, from etcd',
  table: parameters,
  file: 'felix.cfg',
};
const dhcp: Executable = {
  name: 'calico-dhcp-agent',
  room: 'dhcp-agent',
  section: 8,
  summary: 'leases of a compute host’s OpenStack workloads, from etcd, by Dnsmasq',
  table: dhcpAgent,
  file: 'neutron.conf',
};
const bird: Executable = {
  name: 'calico-bird-agent',
  room: 'bird-agent',
  section: 8,
  summary: 'a compute host’s Node in etcd, and BIRD’s configuration from etcd',
  table: birdAgent,
  file: 'bird-agent.cfg',
};
const driver: Executable = {
  name: 'calico-neutron-driver',
  room: 'neutron-driver',
  section: 8,
  summary: 'Neutron’s ports, subnets and groups into etcd, and their status back',
  table: neutronDriver,
  file: 'neutron.conf',
};
const resync: Executable = {
  name: 'calico-resync',
  room: driver.room,
  section: 8,
  summary: 'compares etcd with Neutron, and puts etcd right',
  exitStatus: '0 when everything could be compared and repaired (with --dry-run: compared), 1 otherwise, 2 for wrong usage.',
  seeAlso: 'calico-neutron-driver(8), which has the options of neutron.conf',
};
const diags: Executable = { name: 'calico-diags', room: 'operator', section: 8, summary: 'the diagnostics of a host in one archive, without secrets' };
const operator: Executable = {
  name: 'calico-openstack',
  room: 'operator',
  section: 1,
  summary: 'etcd’s users and rights for Calico on OpenStack',
  commands: ['etcd-roles'],
};

/** The help texts of an executable and of its commands, as whoever calls it sees them. */
const helpsOf = ({ name, room, commands = [] }: Executable): readonly Help[] =>
  [[], ...commands.map((command) => [command])].map((words) =>
    parseHelp(execFileSync(process.execPath, [join(root, 'packages', room, 'dist', `${name}.js`), ...words, '--help'], { encoding: 'utf8' })),
  );

/** Rotation of an agent's own log file. The agent opens its file again on SIGHUP. */
const rotation = (name: string, log: string): Entry => ({
  to: `/etc/logrotate.d/${name}`,
  content: readFileSync(join(import.meta.dirname, 'logrotate'), 'utf8')
    .replaceAll('@LOG@', log)
    .replaceAll('@UNIT@', name),
  configuration: true,
});

/** The wrapper and the bundle in their places, a link in /usr/bin, the man page, and an example of the configuration. */
function executable(program: Executable): readonly Entry[] {
  const { name, room, section, table, file } = program;
  const place = `${home}/packages/${room}`;
  return [
    { to: `${place}/bin/${name}`, from: join(root, 'packages', room, 'bin', name), mode: 0o755 },
    { to: `${place}/dist/${name}.js`, from: join(root, 'packages', room, 'dist', `${name}.js`) },
    { to: `${place}/package.json`, content: `${JSON.stringify({ type: 'module', version: version() }, undefined, 2)}\n` },
    { to: `/usr/bin/${name}`, link: `../lib/calico-openstack/packages/${room}/bin/${name}` },
    { to: `/usr/share/man/man${section}/${name}.${section}.gz`, gzipped: manPage(program, version(), helpsOf(program)) },
    ...(table && file ? [{ to: `/usr/share/doc/${name}/examples/${file}`, content: exampleConfiguration(name, table) }] : []),
  ];
}

/** The agent writes BIRD's file anew. An operator's own is kept beside it; the distribution's, and one that an agent has written, need not be. */
const keepBirdFile = `  file=/etc/bird/bird.conf
  if [ -f $file ] && ! grep -q calico_revision $file && ! cmp -s $file /usr/share/bird2/bird.conf; then
    cp -p $file $file.before-calico
  fi
`;

const bundled = (...programs: readonly Executable[]): readonly string[] => [
  ...new Set(programs.flatMap(({ name, room }) => bundledModules(join(root, 'packages', room, 'dist', `${name}.js`)))),
];

const unit = (name: string): Entry => ({ to: `/lib/systemd/system/${name}.service`, from: join(import.meta.dirname, 'systemd', `${name}.service`) });

/** The workspace's version. */
export const version = (): string => (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version;

/** The folders of a package in node_modules, as they are. */
const module = (modules: string, name: string, only: RegExp): readonly Entry[] =>
  readdirSync(join(modules, name), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(join(modules, name).length + 1))
    .filter((path) => only.test(path))
    .sort()
    .map((path) => ({ to: `${home}/node_modules/${name}/${path}`, from: join(modules, name, path) }));

/** The packages for one kind of machine, in the order in which they depend on each other. */
export function packagesFor({ architecture, modules, site }: Runtime): readonly Package[] {
  const npm = architecture === 'amd64' ? 'x64' : 'arm64';
  const node: Package = {
    name: 'calico-openstack-node',
    architecture,
    summary: 'Node.js for the executables of Calico for OpenStack',
    description:
      'The Node.js that calico-felix, calico-dhcp-agent, calico-bird-agent, calico-neutron-driver and calico-openstack run on. It is not on the PATH, and nothing else uses it.',
    depends: ['libc6 (>= 2.28)', 'libgcc-s1', 'libstdc++6 (>= 9)'],
    entries: [
      { to: `${home}/node_modules/.bin/node`, from: join(modules, `node-linux-${npm}`, 'bin/node'), mode: 0o755 },
      ...module(modules, 'koffi', /^(?!doc|vendor|cnoke|src\/koffi\/src\/trampolines).*(\.c?js|package\.json|LICENSE\.txt)$/), // without the files that are only needed to build it
      ...module(modules, `@koromix/koffi-linux-${npm}`, /^(?!musl)/), // Debian's C library is glibc
      { to: '/usr/lib/sysctl.d/50-calico-openstack.conf', from: join(import.meta.dirname, 'sysctl.conf') },
    ],
    modules: [`node-linux-${npm}`, 'koffi'].map((name) => join(modules, name)),
    overrides: {
      'embedded-library':
        'Node is as its project has built it, with the libraries that it was tested with, and the same on every release of Debian and Ubuntu.',
      'unstripped-binary-or-object': 'Its hash can be compared with the one in the lock file.',
      'hardening-no-pie': 'It is as its project has built it.',
      'copyright-file-contains-full-apache-2-license': 'The licence of Node holds those of its libraries as they were written, this one among them.',
      'old-fsf-address-in-copyright-file': 'The same.',
    },
  };
  const ours = [`calico-openstack-node (= ${debianVersion()})`];
  const python: Package = {
    name: 'python3-calico-openstack',
    architecture: 'all',
    section: 'python',
    summary: 'ML2 mechanism driver calico for Neutron',
    description: 'The class that Neutron loads. It decides nothing: calico-neutron-driver, which runs beside Neutron, does.',
    depends: ['python3 (>= 3.9)', 'python3-neutron (>= 2:21)'],
    replaces: ['networking-calico', 'python3-networking-calico'],
    entries: readdirSync(site, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !entry.name.endsWith('.pyc'))
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
      .map((from) => ({ to: `/usr/lib/python3/dist-packages/${from.slice(site.length + 1)}`, from })),
    compilesPython: true,
  };
  return [
    node,
    {
      name: felix.name,
      architecture: 'all',
      summary: 'Felix: routes and security groups of OpenStack workloads',
      description: 'Runs on each compute host. Reads from etcd which workloads are here and what is allowed to them, and makes the kernel do it.',
      depends: ours,
      recommends: ['nftables'],
      entries: [...executable(felix), unit(felix.name), rotation(felix.name, 'felix.log')],
      modules: bundled(felix),
      services: [felix.name],
    },
    {
      name: dhcp.name,
      architecture: 'all',
      summary: 'leases of OpenStack workloads by Dnsmasq',
      description: 'Runs on each compute host. Configures and starts Dnsmasq for the workloads here, from etcd.',
      depends: [...ours, 'dnsmasq-base (>= 2.85)'],
      entries: [...executable(dhcp), unit(dhcp.name)],
      modules: bundled(dhcp),
      services: [dhcp.name],
    },
    {
      name: bird.name,
      architecture: 'all',
      summary: 'configures BIRD for Calico on OpenStack',
      description: 'Runs on each compute host. Registers the host in etcd and writes the configuration of BIRD 2 from what etcd says of peers and filters.',
      depends: [...ours, 'bird2 (>= 2.0.7)'],
      entries: [...executable(bird), unit(bird.name), rotation(bird.name, 'bird-agent.log')],
      modules: bundled(bird),
      services: [bird.name],
      beforeFirstStart: keepBirdFile,
    },
    python,
    {
      name: driver.name,
      architecture: 'all',
      summary: 'Neutron’s driver for Calico: the daemon beside Neutron',
      description:
        'Runs on each machine with a Neutron server. Writes what Neutron says of networks, subnets, ports and groups to etcd, and brings status back.',
      depends: [...ours, `python3-calico-openstack (= ${debianVersion()})`, 'neutron-common'],
      entries: [
        ...executable(driver),
        ...executable(resync),
        unit(driver.name),
        { to: '/usr/lib/tmpfiles.d/calico-neutron-driver.conf', from: join(import.meta.dirname, 'tmpfiles.conf') },
      ],
      modules: bundled(driver, resync),
      services: [driver.name],
      replaces: ['calico-control', 'calico-resync'], // the latter has the command of that name
    },
    {
      name: 'calico-openstack-tools',
      architecture: 'all',
      summary: 'tools of an operator of Calico on OpenStack',
      description:
        'calico-openstack makes etcd’s users and rights for each part and host. calico-diags collects the diagnostics of a host in one archive, without secrets.',
      depends: ours,
      replaces: ['calico-common'], // upstream's calico-diags is in it
      entries: [
        ...executable(operator),
        ...executable(diags),
        ...['alerts.yml', 'dashboard.json'].map((file) => ({
          to: `/usr/share/calico-openstack/monitoring/${file}`,
          from: join(import.meta.dirname, 'monitoring', file),
        })),
      ],
      modules: bundled(operator, diags),
    },
  ];
}

/** The epoch makes these packages newer than upstream's of the same name, whose versions begin with 3. To go back, apt is given upstream's version by number. */
export const debianVersion = (): string => `1:${version()}-1`;
