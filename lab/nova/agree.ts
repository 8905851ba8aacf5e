// Compares what Neutron, etcd, the kernels, Dnsmasq and BIRD know of the servers' ports. In a quiet moment all of them agree.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isLabError } from '../errors.ts';
import type { ComputeHost } from '../host.ts';
import type { Lab } from '../lab.ts';
import { ipJson } from '../namespace.ts';
import type { Port } from '../openstack.ts';
import type { Machine } from '../plan.ts';

const endpoints = '/calico/resources/v3/projectcalico.org/workloadendpoints/';
const migrations = '/calico/resources/v3/projectcalico.org/livemigrations/';

type Limit = { readonly type: string; readonly direction: 'ingress' | 'egress'; readonly max_kbps: number };
/** A port of a server with its floating IPs and the limits of its bandwidth. */
type ServerPort = Port & { readonly floating: readonly string[]; readonly limits: readonly Limit[] };

type Endpoint = { readonly spec: { readonly node: string; readonly endpoint: string; readonly mac: string; readonly ipNetworks: readonly string[] } };
type KernelRoute = { readonly type?: string; readonly dst: string; readonly dev?: string; readonly gateway?: string; readonly protocol?: string };

const tapOf = ({ id }: Port): string => `tap${id.slice(0, 11)}`;
const addressesOf = ({ fixed_ips }: Port): string[] => fixed_ips.map(({ ip_address }) => ip_address);
const routedTo = (port: ServerPort): string[] => [...addressesOf(port), ...port.floating];
const sorted = (texts: Iterable<string>): string => [...texts].sort().join(' ');

/** Waits until `look` returns something: `until` of the lab's processes, or a wait that also ends for another reason. */
type Wait = (what: string, look: () => Promise<true | undefined>, timeoutMs: number) => Promise<unknown>;

/**
 * Waits until they agree, and rejects with the remaining differences.
 * @param dead a host that does not run, and is not compared
 * @param wait how to wait. An error with another code than NOT_READY is passed on
 */
export async function agree(
  lab: Lab,
  dead?: ComputeHost,
  wait: Wait = (what, look, timeoutMs) => lab.processes.until(what, look, { timeoutMs, intervalMs: 300 }),
): Promise<void> {
  let last: readonly string[] = [];
  const none = async (): Promise<true | undefined> => {
    last = await differences(lab, dead);
    return last.length === 0 || undefined;
  };
  await wait('Neutron, etcd, the kernels, Dnsmasq and BIRD to agree', none, 120_000).catch((cause: Error) => {
    if (last.length === 0 || !isLabError(cause, 'NOT_READY')) throw cause;
    throw new Error(`they do not agree: ${last.join('; ')}`, { cause });
  });
}

/** The differences, in words. */
export async function differences(lab: Lab, dead?: ComputeHost): Promise<string[]> {
  const [floatings, limits] = [await lab.openstack.list('floatingip'), await limitsByPolicy(lab)];
  const ports = (await lab.openstack.list('port'))
    .filter((port) => port.device_owner.startsWith('compute:') && port['binding:host_id'] !== '')
    .map((port): ServerPort => {
      const floating = floatings.filter(({ port_id }) => port_id === port.id).map((each) => each.floating_ip_address);
      return { ...port, floating, limits: limits.get(port.qos_policy_id ?? '') ?? [] };
    });
  const living = lab.hosts.filter(({ name }) => name !== dead?.name);
  const onHosts = await Promise.all(
    living.map((host) =>
      atHost(
        lab,
        host,
        ports.filter((port) => port['binding:host_id'] === host.name),
      ),
    ),
  );
  return [...inEtcd(await lab.etcd.all(), ports), ...onHosts.flat(), ...(await elsewhere(lab, ports, living))];
}

function inEtcd(content: ReadonlyMap<string, string>, ports: readonly Port[]): string[] {
  const keys = [...content.keys()];
  const found = keys
    .filter((key) => key.startsWith(endpoints))
    .map((key) => {
      const { spec } = JSON.parse(content.get(key)!) as Endpoint;
      return `${spec.node} ${spec.endpoint} ${spec.mac} ${sorted(spec.ipNetworks.map((cidr) => cidr.split('/')[0]!))}`;
    });
  const wanted = ports.map((port) => `${port['binding:host_id']} ${port.id} ${port.mac_address} ${sorted(addressesOf(port))}`);
  const reports = ports.flatMap((port) => {
    const key = keys.find((name) => name.includes(`/host/${port['binding:host_id']}/workload/`) && name.endsWith(`/endpoint/${port.id}`));
    const up = key !== undefined && (JSON.parse(content.get(key)!) as { status: string }).status === 'up';
    return up === (port.status === 'ACTIVE') ? [] : [`${port.id} is ${port.status} in Neutron and ${up ? 'up' : 'not up'} in the status of Felix`];
  });
  const stale = keys.filter((key) => key.includes('/workload/') && !ports.some(({ id }) => key.endsWith(`/endpoint/${id}`)));
  return [
    ...unequal('the endpoints in etcd', found, wanted),
    ...reports,
    ...stale.map((key) => `etcd has the status of no port: ${key}`),
    ...keys.filter((key) => key.startsWith(migrations)).map((key) => `etcd has ${key}`),
  ];
}

async function atHost(lab: Lab, host: ComputeHost, ports: readonly ServerPort[]): Promise<string[]> {
  const [taps, routes, rules, limits] = await Promise.all([tapsOf(lab, host), kernelRoutes(lab, host), ruleset(lab, host), kernelLimits(lab, host)]);
  const active = ports.filter(({ status }) => status === 'ACTIVE');
  const stray = taps.filter((tap) => !ports.some((port) => tapOf(port) === tap));
  const lacking = active.map(tapOf).filter((tap) => !taps.includes(tap));
  const toTaps = routes.filter(({ dev }) => dev?.startsWith('tap')).map(({ dst, dev }) => `${dst} ${dev}`);
  const wanted = ports.filter((port) => taps.includes(tapOf(port))).flatMap((port) => routedTo(port).map((address) => `${address} ${tapOf(port)}`));
  const policed = new Set(rules.match(/tap[0-9a-f]{8}-[0-9a-f]{2}/g));
  // A server that is shelved keeps its port's binding, and has no tap.
  const served = ports
    .filter((port) => taps.includes(tapOf(port)))
    .flatMap((port) =>
      addressesOf(port)
        .filter((address) => !address.includes(':'))
        .map((address) => `${tapOf(port)},${port.mac_address},${address}`),
    );
  const limited = ports
    .filter((port) => taps.includes(tapOf(port)))
    .flatMap((port) => port.limits.map(({ direction, max_kbps }) => `${direction === 'ingress' ? tapOf(port) : 'an ifb'} with ${max_kbps} kbit/s`));
  return [
    ...stray.map((tap) => `${host.name} has ${tap} of no port that is bound there`),
    ...lacking.map((tap) => `${host.name} has no ${tap}`),
    ...unequal(`the routes to taps of ${host.name}`, toTaps, wanted),
    ...routes.filter(({ type }) => type === 'blackhole').map(({ dst }) => `${host.name} has a blackhole for ${dst}`),
    ...active.map(tapOf).flatMap((tap) => (policed.has(tap) ? [] : [`${host.name} has no rules for ${tap}`])),
    ...[...policed].filter((tap) => !ports.some((port) => tapOf(port) === tap)).map((tap) => `${host.name} has rules for ${tap}, of no port there`),
    ...unequal(`the limits of bandwidth on ${host.name}`, limits, limited),
    ...unequal(`Dnsmasq's clients on ${host.name}`, dnsmasqClients(lab, host), served),
  ];
}

/** The routes by BGP: those of the router, and those of the hosts to the others' workloads. A server that is stopped keeps its tap, and the routes. */
async function elsewhere(lab: Lab, ports: readonly ServerPort[], living: readonly ComputeHost[]): Promise<string[]> {
  const taps = new Map(await Promise.all(living.map(async (host) => [host.name, await tapsOf(lab, host)] as const)));
  const plugged = ports.filter((port) => taps.get(port['binding:host_id'])?.includes(tapOf(port)));
  const hostOf = (port: ServerPort): ComputeHost => living.find(({ name }) => name === port['binding:host_id'])!;
  const wantedOnRouter = plugged.flatMap((port) =>
    routedTo(port).map((address) => `${address} via ${address.includes(':') ? hostOf(port).link.machine6 : hostOf(port).link.machine4}`),
  );
  const routed = async (machine: Machine): Promise<KernelRoute[]> =>
    (await kernelRoutes(lab, machine)).filter(({ dst, protocol, gateway }) => protocol === 'bird' && gateway !== undefined && !dst.includes('/'));
  const onRouter = (await routed(lab.router)).map(({ dst, gateway }) => `${dst} via ${gateway}`);
  const onHosts = await Promise.all(
    living.map(async (host) => {
      const wanted = plugged.filter((port) => hostOf(port) !== host).flatMap(routedTo);
      return unequal(
        `the routes by BGP of ${host.name}`,
        (await routed(host)).map(({ dst }) => dst),
        wanted,
      );
    }),
  );
  return [...unequal('the routes of the router', onRouter, wantedOnRouter), ...onHosts.flat()];
}

async function tapsOf(lab: Lab, host: Machine): Promise<string[]> {
  const links = (await ipJson(lab.processes, host, 'link', 'show')) as readonly { readonly ifname: string }[];
  return links.map(({ ifname }) => ifname).filter((name) => name.startsWith('tap'));
}

/** Routes of both families. Routes with several next hops have no gateway of their own. */
async function kernelRoutes(lab: Lab, machine: Machine): Promise<KernelRoute[]> {
  const shown = await Promise.all(['-4', '-6'].map((family) => ipJson(lab.processes, machine, family, 'route', 'show')));
  const own = (route: KernelRoute): boolean => !route.dst.startsWith('fe80:') && !route.dst.startsWith('ff00:');
  return (shown.flat() as KernelRoute[]).filter(own);
}

const ruleset = (lab: Lab, host: Machine): Promise<string> => lab.processes.run('nft', ['list', 'ruleset'], { on: host });

/** The limits of bandwidth in Neutron, by the id of the QoS policy. */
async function limitsByPolicy(lab: Lab): Promise<ReadonlyMap<string, readonly Limit[]>> {
  const { body } = await lab.openstack.request('GET', 'qos/policies');
  const { policies } = JSON.parse(body) as { policies: readonly { readonly id: string; readonly rules: readonly Limit[] }[] };
  return new Map(policies.map(({ id, rules }) => [id, rules.filter(({ type }) => type === 'bandwidth_limit')]));
}

/** The limits that the kernel keeps: of what goes to a tap on the tap itself, of what comes from one on an ifb, whose name says nothing. */
async function kernelLimits(lab: Lab, host: Machine): Promise<string[]> {
  type Qdisc = { readonly kind: string; readonly dev: string; readonly options: { readonly rate: number } };
  const qdiscs = JSON.parse(await lab.processes.run('tc', ['-j', 'qdisc', 'show'], { on: host })) as readonly Qdisc[];
  const ofBandwidth = qdiscs.filter(({ kind }) => kind === 'tbf');
  return ofBandwidth.map(({ dev, options }) => `${dev.startsWith('tap') ? dev : 'an ifb'} with ${(options.rate * 8) / 1000} kbit/s`);
}

/** The lines `TAP,MAC,ADDRESS` that Dnsmasq reads. */
function dnsmasqClients(lab: Lab, host: ComputeHost): string[] {
  const folder = join(lab.directory, host.name, 'dhcp-agent/state/dhcp/dnsmasq-4/hosts');
  const lines = readdirSync(folder).flatMap((file) => readFileSync(join(folder, file), 'utf8').split('\n'));
  return lines.filter((line) => line.startsWith('tag:')).map((line) => line.slice('tag:'.length));
}

function unequal(what: string, found: readonly string[], wanted: readonly string[]): string[] {
  const [more, less] = [found.filter((each) => !wanted.includes(each)), wanted.filter((each) => !found.includes(each))];
  return [...more.map((each) => `${what} have ${each}, unknown to Neutron`), ...less.map((each) => `${what} lack ${each}`)];
}
