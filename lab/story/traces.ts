// Finds the traces of a VM or of a security group outside of Neutron: in etcd, in routes, in the hosts' rules. After its deletion there must be none.
import { isIP } from 'node:net';
import type { Lab } from '../lab.ts';
import { look } from '../scene.ts';
import type { Vm } from '../vm.ts';

/** Lists the places where the VM's port, addresses and tap still occur, in words. */
export async function tracesOf(lab: Lab, vm: Vm): Promise<string[]> {
  const { portId, addresses, tap } = vm.facts;
  const [inEtcd, routes, rules] = await Promise.all([
    etcdNames(lab, [portId, portId.replaceAll('-', '--'), ...addresses]),
    routesTo(lab, addresses),
    hostsWhoseRulesName(lab, [...addresses, tap]),
  ]);
  return [...inEtcd.map((key) => `etcd: ${key}`), ...routes.map((route) => `route on ${route}`), ...rules.map((host) => `rules of ${host}`)];
}

/** The routes to these addresses, as `MACHINE to ADDRESS via NEXT`. */
async function routesTo(lab: Lab, addresses: readonly string[]): Promise<string[]> {
  const { router, hosts } = await look(lab);
  return [router, ...hosts].flatMap(({ name, routes }) =>
    routes.filter(({ destination }) => addresses.includes(destination)).map(({ destination, via }) => `${name} to ${destination} via ${via}`),
  );
}

/** The commands that show the rules and sets of a host: those of nftables, and of iptables where another Felix uses it. */
const listings = ['nft list ruleset', 'iptables-legacy-save', 'ip6tables-legacy-save', 'ipset save'];

/** Names of the hosts whose rules or sets have one of these words. */
export async function hostsWhoseRulesName(lab: Lab, words: readonly string[]): Promise<string[]> {
  const script = lab.foreign.felix === undefined ? listings[0]! : listings.map((listing) => `${listing} 2>&1 || :`).join('\n');
  const named = await Promise.all(lab.hosts.map(async (host) => hasWord(await lab.processes.run('sh', ['-ec', script], { on: host }), words)));
  return lab.hosts.flatMap(({ name }, index) => (named[index] ? [name] : []));
}

/** The keys that hold one of these words, or whose value does. */
async function etcdNames(lab: Lab, words: readonly string[]): Promise<string[]> {
  return [...(await lab.etcd.all())].flatMap(([key, value]) => (hasWord(`${key}\n${value}`, words) ? [key] : []));
}

/** Whether a text has the word. An id may be part of a longer name, such as that of a policy's chain. An address within a longer one is another address. */
export function hasWord(text: string, words: readonly string[]): boolean {
  return words.some((word) => (isIP(word) === 0 ? text.includes(word) : new RegExp(`(?<![\\w.:])${word.replaceAll('.', '\\.')}(?![\\w.:])`).test(text)));
}
