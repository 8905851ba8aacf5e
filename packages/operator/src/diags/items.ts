// Lists what calico-diags collects: commands and files, each with its place in the archive.

/** A command whose output is collected. */
export type CommandItem = { readonly to: string; readonly command: readonly [string, ...string[]] };
/** Text files, by a pattern of their paths. The last `mostBytes` of each are collected. */
export type FileItem = { readonly folder: string; readonly paths: readonly string[]; readonly mostBytes: number };

const units = ['calico-felix', 'calico-dhcp-agent', 'calico-bird-agent', 'calico-neutron-driver', 'bird', 'nova-compute', 'neutron-server'];
const agents = ['calico-felix', 'calico-dhcp-agent', 'calico-bird-agent', 'calico-neutron-driver'];

/** The commands. None changes anything, and none shows command lines of processes, which may hold passwords. */
export const commands: readonly CommandItem[] = [
  { to: 'host/system', command: ['uname', '-a'] },
  { to: 'host/release', command: ['cat', '/etc/os-release'] },
  { to: 'host/uptime', command: ['cat', '/proc/uptime', '/proc/loadavg', '/proc/meminfo'] },
  { to: 'host/processes', command: ['ps', '-eo', 'pid,ppid,user,lstart,etimes,rss,stat,comm'] },
  {
    to: 'host/packages',
    command: [
      'dpkg-query',
      '-W',
      '-f',
      // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg's own placeholders
      '${Package} ${Version} ${db:Status-Status}\n',
      'calico-*',
      'python3-calico-openstack',
      'bird2',
      'dnsmasq-base',
      'nftables',
      'neutron-*',
      'nova-*',
      'libvirt-daemon',
    ],
  },
  { to: 'network/links', command: ['ip', '-details', '-statistics', 'link'] },
  { to: 'network/addresses', command: ['ip', 'address'] },
  { to: 'network/rules', command: ['sh', '-c', 'ip -4 rule; ip -6 rule'] },
  { to: 'network/routes', command: ['sh', '-c', 'ip -4 route show table all; ip -6 route show table all'] },
  { to: 'network/neighbours', command: ['sh', '-c', 'ip neighbour; ip neighbour show proxy'] },
  { to: 'network/queues', command: ['tc', '-statistics', 'qdisc'] },
  { to: 'network/sockets', command: ['ss', '--tcp', '--udp', '--listening', '--numeric'] },
  { to: 'network/sysctls', command: ['sysctl', '-a', '--pattern', '^net\\.(ipv[46]\\.(conf|neigh|ip_forward)|netfilter\\.nf_conntrack_(max|count))'] },
  { to: 'network/rules.nft', command: ['nft', '--handle', 'list', 'ruleset'] },
  { to: 'network/iptables', command: ['sh', '-c', 'iptables-save -c; ip6tables-save -c'] },
  { to: 'bird/status', command: ['birdc', 'show', 'status'] },
  { to: 'bird/protocols', command: ['birdc', 'show', 'protocols', 'all'] },
  { to: 'bird/routes', command: ['birdc', 'show', 'route'] },
  ...agents.map((name): CommandItem => ({ to: `configuration/${name}`, command: [name, '--check-config'] })),
  ...units.map((unit): CommandItem => ({ to: `units/${unit}`, command: ['systemctl', 'status', '--no-pager', '--lines=0', `${unit}.service`] })),
  ...agents.map((unit): CommandItem => ({ to: `journal/${unit}`, command: ['journalctl', '--no-pager', '--lines=20000', '--unit', `${unit}.service`] })),
  { to: 'journal/bird', command: ['journalctl', '--no-pager', '--lines=5000', '--unit', 'bird.service'] },
];

/** The files. Certificates' keys and configuration files as they are written are not among them: `--check-config` says what is in force, without passwords. */
export const files: readonly FileItem[] = [
  {
    folder: 'logs',
    paths: ['/var/log/calico/*.log', '/var/log/calico/*.log.1', '/var/log/neutron/dhcp-agent.log', '/var/log/neutron/neutron-driver.log'],
    mostBytes: 8_000_000,
  },
  { folder: 'bird', paths: ['/etc/bird/*.conf'], mostBytes: 8_000_000 },
  { folder: 'dnsmasq', paths: ['/var/lib/neutron/dhcp/*', '/var/lib/neutron/dhcp/dnsmasq*/*'], mostBytes: 8_000_000 },
];

/** Configuration files whose secrets are removed from everything that is collected. None of these files is put into the archive. */
export const withSecrets: readonly string[] = [
  '/etc/calico/*',
  '/etc/calico/*/*',
  '/etc/neutron/*.conf',
  '/etc/neutron/*.ini',
  '/etc/neutron/*.conf.d/*',
  '/etc/neutron/plugins/ml2/*',
  '/etc/nova/*.conf',
  '/etc/nova/*.conf.d/*',
  '/etc/keystone/*.conf',
  '/etc/bird/*.conf',
  '/etc/default/*',
];

/** Pages of health and metrics at their usual ports, on this host alone. */
export const pages: readonly { readonly to: string; readonly url: string }[] = [
  { to: 'pages/felix-readiness', url: 'http://127.0.0.1:9099/readiness' },
  { to: 'pages/felix-metrics', url: 'http://127.0.0.1:9091/metrics' },
  { to: 'pages/bird-agent-readiness', url: 'http://127.0.0.1:9097/readiness' },
  { to: 'pages/bird-agent-metrics', url: 'http://127.0.0.1:9096/metrics' },
];

/** The list of what is never collected, for the archive's notes. */
export const neverCollected: readonly string[] = [
  'configuration files as they are written (felix.cfg, bird-agent.cfg, neutron.conf, …): configuration/ has the options in force, without passwords',
  "certificates' keys, and files of passwords",
  'command lines and environments of processes',
  'etcd, the databases of OpenStack, and what guests send',
];
