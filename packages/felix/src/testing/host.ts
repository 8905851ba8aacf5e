// A compute host for tests and benches: a network namespace with etcd and an agent in it, and a second one with the workloads' ends of its interfaces. Tests judge the agent by packets.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import { addressBytes, type IpAddress } from '@calico-openstack/addresses';
import { endpointStatusKey, etcdUserName, felixRights } from '@calico-openstack/datamodel';
import { connectEtcd, type Etcd } from '@calico-openstack/etcd';
import type { TestCertificates } from '@calico-openstack/etcd/testing/certificates';
import { type EtcdProcess, startEtcd } from '@calico-openstack/etcd/testing/etcd-process';
import type { Link, Links } from '@calico-openstack/kernel/links/link';
import { openLinks } from '@calico-openstack/kernel/links/netlink';
import { inNamespace } from '@calico-openstack/kernel/netlink/namespace';
import { arpFrame, type FrameOptions, frame } from '@calico-openstack/kernel/testing/frames';
import { relayInto } from '@calico-openstack/kernel/testing/relay';
import { openWire, type Received, type Wire } from '@calico-openstack/kernel/testing/wire';
import { clusterInformation, deviceId, felixConfiguration, type KeyedValue, type TestEndpoint, tapOf } from './resources.ts';

/** Runs a program. Resolves with its output, and rejects when its exit code is not 0. */
export const run = promisify(execFile);

/** An endpoint whose interface exists. */
export type Plugged = TestEndpoint & {
  /** The index of the workload's end in its namespace. */
  readonly interfaceIndex: number;
  /** The MAC of the host's end, to which the workload sends. */
  readonly gatewayMac: string;
};

/** How a host is made. */
export type TestHostOptions = {
  /** With these, etcd requires TLS with client certificates. The common name of the client's certificate is the agent's user (`etcdUserName`). */
  readonly certificates?: TestCertificates;
};

/** To whom a workload sends. */
type Receiver = { readonly addresses: readonly string[]; readonly interfaceIndex?: number };

/** A packet that a workload sends. Addresses and MAC are those of sender and receiver unless given. */
export type Probe = Pick<FrameOptions, 'protocol' | 'sourcePort' | 'destinationPort' | 'icmp' | 'tcpFlags'> & {
  readonly source?: string;
  readonly destination?: string;
  readonly sourceMac?: string;
};

let worlds = 0;

const [rootPassword, agentPassword] = ['root', 'agent'];
/** The environment of an agent with all rights in etcd, for an agent that is not this project's. */
export const asAdministrator = { ETCD_USERNAME: 'root', ETCD_PASSWORD: rootPassword };

/** A compute host. */
export class TestHost {
  readonly name: string;
  readonly workloadsName: string;
  readonly hostName: string;
  readonly etcdProcess: EtcdProcess;
  /** The URL of etcd outside of the host's namespace. */
  readonly outsideEndpoint: string;
  readonly certificates: TestCertificates | undefined;
  /** A client of etcd with all rights. */
  etcd: Etcd;
  readonly wire: Wire;
  readonly links: Links;
  readonly #closing: (() => unknown)[];
  readonly #connect: () => Etcd;
  #agent: ChildProcess | undefined;
  #probes = 0;
  readonly #arrivals = new Map<number, Received>();
  output = '';

  private constructor(
    parts: Pick<TestHost, 'name' | 'workloadsName' | 'hostName' | 'etcdProcess' | 'outsideEndpoint' | 'certificates' | 'wire' | 'links'>,
    connect: () => Etcd,
    closing: (() => unknown)[],
  ) {
    this.name = parts.name;
    this.workloadsName = parts.workloadsName;
    this.hostName = parts.hostName;
    this.etcdProcess = parts.etcdProcess;
    this.etcd = connect();
    this.#connect = connect;
    this.outsideEndpoint = parts.outsideEndpoint;
    this.certificates = parts.certificates;
    this.wire = parts.wire;
    this.links = parts.links;
    this.#closing = closing;
  }

  /** Makes the namespaces and starts etcd, with ClusterInformation and FelixConfiguration as the driver writes them. */
  static async open(hostName = 'host0', { certificates }: TestHostOptions = {}): Promise<TestHost> {
    worlds += 1;
    const [name, workloadsName] = [`fx${process.pid}-${worlds}`, `fxw${process.pid}-${worlds}`];
    const closing: (() => unknown)[] = [];
    try {
      for (const namespace of [name, workloadsName]) {
        await run('ip', ['netns', 'add', namespace]);
        closing.push(() => run('ip', ['netns', 'delete', namespace]));
        await run('ip', ['-n', namespace, 'link', 'set', 'lo', 'up']);
      }
      const etcdProcess = await startEtcd({ prefix: ['ip', 'netns', 'exec', name], rootPassword, ...(certificates && { tls: certificates }) });
      closing.push(() => etcdProcess.stop());
      const relay = await relayInto(name, etcdProcess.clientPort);
      closing.push(() => relay.close());
      const outsideEndpoint = `${certificates ? 'https' : 'http'}://127.0.0.1:${relay.port}`;
      const files = certificates && { caFile: certificates.caFile, certFile: certificates.clientCertFile, keyFile: certificates.clientKeyFile };
      const connect = (): Etcd => connectEtcd({ endpoints: [outsideEndpoint], username: 'root', password: rootPassword, ...files });
      const wire = openWire(workloadsName);
      closing.push(() => wire.close());
      const links = inNamespace(name, () => openLinks());
      closing.push(() => links.close());
      const host = new TestHost({ name, workloadsName, hostName, etcdProcess, outsideEndpoint, certificates, wire, links }, connect, closing);
      closing.push(() => host.etcd.close());
      closing.push(() => host.stopAgent('SIGKILL'));
      await host.#addAgentUser();
      await host.put(clusterInformation(), felixConfiguration());
      return host;
    } catch (error) {
      for (const close of closing.reverse()) await close();
      throw error;
    }
  }

  get #agentUser(): string {
    return etcdUserName('calico-felix', this.hostName);
  }

  /** Creates the agent's user with the least rights that the documentation names, so that the tests show that they are enough. */
  #addAgentUser(): Promise<void> {
    return this.etcdProcess.addUser(this.#agentUser, agentPassword, felixRights(undefined, this.hostName));
  }

  /** Grants the agent's user the rights in a region. */
  async grantIn(region: string): Promise<void> {
    await this.etcdProcess.grant(this.#agentUser, felixRights(region, this.hostName));
  }

  /** Replaces etcd by one that has the users and no other data. */
  async emptyEtcd(): Promise<void> {
    await this.etcdProcess.kill();
    this.etcdProcess.forget();
    await this.etcdProcess.restart();
    await this.etcdProcess.enableUsers();
    await this.#addAgentUser();
    this.#reconnect();
  }

  /** Replaces etcd by one with the data of `etcdProcess.backUp`. */
  async restoreEtcd(): Promise<void> {
    await this.etcdProcess.kill();
    this.etcdProcess.goBack();
    await this.etcdProcess.restart();
    this.#reconnect();
  }

  /** Replaces the client, which would otherwise wait until the new etcd knows its token. */
  #reconnect(): void {
    this.etcd.close();
    this.etcd = this.#connect();
  }

  async close(): Promise<void> {
    for (const close of this.#closing.reverse()) await close();
  }

  async put(...values: readonly KeyedValue[]): Promise<void> {
    for (let first = 0; first < values.length; first += 100) {
      await this.etcd.transact(
        [],
        values.slice(first, first + 100).map(({ key, value }) => ({ put: key, value })),
      );
    }
  }

  async delete(...keys: readonly string[]): Promise<void> {
    await this.etcd.transact(
      [],
      keys.map((key) => ({ delete: key })),
    );
  }

  /** Starts an agent in the host's namespace, which is this project's Felix from its sources unless given. */
  startAgent(command: readonly string[] = felixFromSources, environment: Readonly<Record<string, string>> = {}): void {
    const endpoint = this.etcdProcess.endpoint;
    const [program = '', ...args] = ['setpriv', '--pdeathsig', 'KILL', 'ip', 'netns', 'exec', this.name, ...command];
    this.#agent = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        ETCD_ENDPOINTS: endpoint,
        DATASTORE_TYPE: 'etcdv3',
        FELIX_DATASTORETYPE: 'etcdv3',
        FELIX_ETCDENDPOINTS: endpoint,
        ...(this.certificates === undefined
          ? { ETCD_USERNAME: this.#agentUser, ETCD_PASSWORD: agentPassword }
          : {
              ETCD_CA_CERT_FILE: this.certificates.caFile,
              ETCD_CERT_FILE: this.certificates.clientCertFile,
              ETCD_KEY_FILE: this.certificates.clientKeyFile,
            }),
        FELIX_FELIXHOSTNAME: this.hostName,
        FELIX_INTERFACEPREFIX: 'tap',
        FELIX_LOGFILEPATH: 'none',
        FELIX_LOGSEVERITYSCREEN: 'INFO',
        FELIX_USAGEREPORTINGENABLED: 'false',
        FELIX_METADATAADDR: 'none',
        FELIX_NFTABLESTABLEOWNERSHIP: 'Shared', // tests change the tables
        ...environment,
      },
    });
    for (const stream of [this.#agent.stdout, this.#agent.stderr]) stream?.setEncoding('utf8').on('data', (text: string) => (this.output += text));
  }

  /** The command that starts this project's Felix from its sources. */
  readonly agentCommand = felixFromSources;

  get agent(): ChildProcess | undefined {
    return this.#agent;
  }

  /** Ends the agent. Resolves with its exit code when it has ended and all that it has logged is in `output`. */
  async stopAgent(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const agent = this.#agent;
    this.#agent = undefined;
    if (!agent || agent.exitCode !== null || agent.signalCode !== null) return agent?.exitCode ?? null;
    return new Promise((resolve) => {
      agent.once('close', (code) => resolve(code));
      agent.kill(signal);
    });
  }

  /** Makes the endpoint's tap and sets it up. The workload's end is in the second namespace. */
  async plug(endpoint: TestEndpoint): Promise<Plugged> {
    const tap = tapOf(endpoint);
    const peer = `w${tap.slice(3)}`;
    await run('ip', ['-n', this.name, 'link', 'add', tap, 'type', 'veth', 'peer', 'name', peer, 'address', endpoint.mac, 'netns', this.workloadsName]);
    await run('ip', ['-n', this.name, 'link', 'set', tap, 'up']);
    await run('ip', ['-n', this.workloadsName, 'link', 'set', peer, 'up']);
    const [{ ifindex }] = JSON.parse((await run('ip', ['-n', this.workloadsName, '-j', 'link', 'show', peer])).stdout) as [{ ifindex: number }];
    const link = await this.link(tap, (found) => found?.mac !== undefined);
    return { ...endpoint, interfaceIndex: ifindex, gatewayMac: link!.mac! };
  }

  async unplug(endpoint: TestEndpoint): Promise<void> {
    await run('ip', ['-n', this.name, 'link', 'delete', tapOf(endpoint)]);
  }

  /** Resolves with a link of the host when it is as wanted. */
  async link(name: string, wanted: (link: Link | undefined) => boolean): Promise<Link | undefined> {
    await this.until(() => wanted(this.links.link(name)), `the link ${name}`);
    return this.links.link(name);
  }

  /** The source port of a probe without one. It changes with each probe, so that each is a new flow. */
  static sourcePortOf(probe: number): number {
    return 20000 + (probe % 40000);
  }

  /** Sends one packet from a workload to another. Returns the packet's number, for `arrivalOf`. */
  send(from: Plugged, to: Receiver, probe: Probe, family: 4 | 6 = 4): number {
    const { interfaceIndex, frame: bytes } = this.frameOf(from, to, probe, family);
    this.wire.send(interfaceIndex, bytes);
    return this.#probes;
  }

  /** The frame of the next packet, and the interface to send it from. */
  frameOf(from: Plugged, to: Receiver, probe: Probe, family: 4 | 6 = 4): { readonly interfaceIndex: number; readonly frame: Uint8Array } {
    this.#probes += 1;
    const own = (addresses: readonly string[]): string => addresses.find((address) => address.includes(':') === (family === 6))!;
    const { source = own(from.addresses), destination = own(to.addresses), sourceMac = from.mac, ...rest } = probe;
    const payload = new TextEncoder().encode(`FELIX   ${String(this.#probes).padStart(8)}`);
    const bytes = (address: string): Uint8Array => addressBytes(address as IpAddress);
    const sourcePort = rest.sourcePort ?? TestHost.sourcePortOf(this.#probes);
    const ends = { sourceMac, destinationMac: from.gatewayMac, source: bytes(source), destination: bytes(destination) };
    return { interfaceIndex: from.interfaceIndex, frame: frame({ ...ends, payload, ...rest, sourcePort }) };
  }

  sendArp(from: Plugged, operation: 1 | 2, sender: string, target: string): void {
    const bytes = (address: string): Uint8Array => addressBytes(address as IpAddress);
    this.wire.send(from.interfaceIndex, arpFrame({ operation, senderMac: from.mac, sender: bytes(sender), target: bytes(target) }));
  }

  /** Reads what has arrived. Probes are kept for `arrivalOf`. */
  readArrivals(): readonly Received[] {
    const received = this.wire.receive();
    for (const each of received) {
      const text = Buffer.from(each.frame).toString('latin1');
      const marked = /FELIX {3}( *\d+)/.exec(text);
      // An ICMP error of a workload's own system quotes the probe, which has arrived before.
      if (marked && !this.#arrivals.has(Number(marked[1]))) this.#arrivals.set(Number(marked[1]), each);
    }
    return received;
  }

  /** Where and when a probe has arrived; undefined as long as it has not. */
  arrivalOf(probe: number): Received | undefined {
    return this.#arrivals.get(probe);
  }

  /** Sends a packet, and resolves with whether it passes. The kernel does not report that it dropped one, so a packet counts as dropped after `droppedAfterMs`. */
  async passes(from: Plugged, to: Plugged, probe: Probe, family: 4 | 6 = 4): Promise<boolean> {
    const number = this.send(from, to, probe, family);
    const endMs = performance.now() + droppedAfterMs;
    for (;;) {
      const isLast = performance.now() >= endMs; // before the arrivals are read, so that a pause of this process does not make a packet count as dropped
      this.readArrivals();
      if (this.arrivalOf(number)?.interfaceIndex === to.interfaceIndex) return true;
      if (isLast) return false;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  /** Sends packets until one passes, or until one is dropped when `wanted` is false. */
  async untilPasses(from: Plugged, to: Plugged, probe: Probe, wanted = true, family: 4 | 6 = 4): Promise<void> {
    await this.until(
      async () => (await this.passes(from, to, probe, family)) === wanted,
      `a packet ${wanted ? 'to pass' : 'to be dropped'}: ${JSON.stringify(probe)}`,
    );
  }

  async until(condition: () => boolean | Promise<boolean>, what: string, limitMs = 180_000): Promise<void> {
    const endMs = performance.now() + limitMs;
    while (!(await condition())) {
      if (performance.now() > endMs) throw new Error(`waited ${limitMs} ms in vain for ${what}\n${this.output.slice(-3000)}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Resolves when the agent has logged this text. The log comes through a pipe, so it may arrive after the effect of what it reports. */
  async untilSaid(text: string): Promise<void> {
    await this.until(() => this.output.includes(text), `the agent to say: ${text}`);
  }

  /** Resolves when the agent has programmed everything that the datastore had at its start. A packet that passes would say less, because other routes may still be missing. */
  async untilProgrammed(): Promise<void> {
    await this.untilSaid('the kernel is as the datastore wants it');
  }

  /**
   * Resolves when these endpoints have the status `up`, which they did not have before. Then rules, neighbours and routes are in the kernel, and packets pass in both directions. A packet
   * that passes in one direction says less: rules come before routes, so that it may pass while no route leads back to its sender.
   */
  async untilUp(...endpoints: readonly TestEndpoint[]): Promise<void> {
    for (const each of endpoints) await this.until(async () => (await this.statusOf(each)) === '{"status":"up"}', `the endpoint ${each.id} to be up`);
  }

  /** The status of an endpoint in etcd, as text. */
  async statusOf(endpoint: TestEndpoint): Promise<string | undefined> {
    const names = { host: this.hostName, orchestrator: 'openstack', workload: `openstack/${deviceId(endpoint)}`, endpoint: endpoint.id };
    const { found } = await this.etcd.get(endpointStatusKey(undefined, names));
    return found && new TextDecoder().decode(found.value);
  }

  /** Runs a command in the host's namespace. */
  async exec(program: string, ...args: readonly string[]): Promise<string> {
    return (await run('ip', ['netns', 'exec', this.name, program, ...args], { maxBuffer: 1 << 28 })).stdout;
  }
}

/** After how long a packet counts as dropped. Forwarding takes about ten microseconds, and a thousand times as long on a busy machine. */
const droppedAfterMs = 100;

const felixFromSources = [process.execPath, new URL('../bin/calico-felix.ts', import.meta.url).pathname];
