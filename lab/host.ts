// A compute host: real BIRD, and this project's Felix, DHCP agent and BIRD agent, each started as an operator would start it.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Foreign, Part, Reporting } from './directory.ts';
import type { Host } from './plan.ts';
import type { Processes, Service } from './process.ts';
import { type Bird, birdService, hostConfiguration, idleConfiguration } from './services/bird.ts';
import { credentialsOf, type EtcdAccess, neutronEtcdLines } from './services/etcd.ts';

/** A compute host and its services. */
export type ComputeHost = Host & {
  readonly bird: Bird;
  /** The agent, or undefined in a lab without this part. */
  readonly felix: Service | undefined;
  readonly dhcpAgent: Service | undefined;
  readonly birdAgent: Service | undefined;
};

/** What the host's services need to know of the lab. */
export type HostOptions = {
  readonly etcd: EtcdAccess;
  readonly without: ReadonlySet<Part>;
  readonly reporting: Reporting | undefined;
  /** The address of Nova's metadata service, on its usual port; undefined in a lab without Nova. */
  readonly metadata: string | undefined;
  readonly foreign: Foreign;
  /** Returns the path of one of the project's executables. */
  readonly executable: (name: string) => string;
};

/** Describes a compute host. Nothing is started yet. */
export function computeHost(processes: Processes, host: Host, options: HostOptions): ComputeHost {
  const withAgent = !options.without.has('bird-agent');
  const bird = birdService(processes, host, withAgent ? idleConfiguration(host) : hostConfiguration(host), withAgent);
  const agent = (part: Part, executable: string, file: string, option: string, text: string, foreign?: string): Service | undefined => {
    if (options.without.has(part)) return undefined;
    const name = `${host.name}/${part}`;
    const directory = join(processes.directory, name);
    const args = [option, join(directory, file)];
    return processes.service({
      name,
      on: host,
      ...(foreign === undefined
        ? { command: options.executable(executable), args }
        : { command: '/bin/sh', args: ['-c', `exec ${foreign} "$@"`, executable, ...args] }),
      prepare: () => {
        mkdirSync(directory, { recursive: true });
        writeFileSync(join(directory, file), text);
      },
    });
  };
  const state = (part: Part): string => join(processes.directory, host.name, part);
  return {
    ...host,
    bird,
    felix: agent('felix', 'calico-felix', 'felix.cfg', '-c', felixConfiguration(host, options), options.foreign.felix),
    dhcpAgent: agent(
      'dhcp-agent',
      'calico-dhcp-agent',
      'neutron.conf',
      '--config-file',
      dhcpConfiguration(host, options.etcd, state('dhcp-agent')),
      options.foreign.dhcpAgent,
    ),
    birdAgent: agent('bird-agent', 'calico-bird-agent', 'bird-agent.cfg', '-c', birdAgentConfiguration(host, options.etcd, bird)),
  };
}

/** Starts BIRD, then the agents side by side, so that the BIRD agent finds BIRD. */
export async function startHost({ bird, felix, dhcpAgent, birdAgent }: ComputeHost): Promise<void> {
  await bird.start();
  await Promise.all([felix, dhcpAgent, birdAgent].map((service) => service?.start()));
}

/** The lines of felix.cfg and bird-agent.cfg that say how etcd is reached. */
function etcdLines(etcd: EtcdAccess, part: 'calico-felix' | 'calico-bird-agent', host: Host): string {
  const credentials = credentialsOf(etcd, part, host.name);
  const user = credentials === undefined ? '' : `\nEtcdUsername = ${credentials.username}\nEtcdPassword = ${credentials.password}`;
  return `EtcdEndpoints = http://${etcd.host}:${etcd.port}${user}`;
}

/** felix.cfg. It leaves out the prefix of workload interfaces, which Neutron's driver writes to etcd. */
const felixConfiguration = (host: Host, { etcd, reporting, metadata, foreign }: HostOptions): string => `[global]
${etcdLines(etcd, 'calico-felix', host)}
FelixHostname = ${host.name}
LogFilePath = none
LogSeverityScreen = INFO
${metadata === undefined ? '' : `MetadataAddr = ${metadata}\n`}${foreign.felix === undefined ? '' : 'DatastoreType = etcdv3\nUsageReportingEnabled = false\n'}${reporting === undefined ? '' : `ReportingIntervalSecs = ${reporting.intervalSeconds}\nReportingTTLSecs = ${reporting.ttlSeconds}\n`}`;

const dhcpConfiguration = (host: Host, etcd: EtcdAccess, directory: string): string => `[DEFAULT]
host = ${host.name}
state_path = ${directory}/state
dnsmasq_base_log_dir = ${directory}
dns_domain = lab.example.
${neutronEtcdLines(etcd, 'calico-dhcp-agent', host.name)}`;

/** The BIRD agent's configuration. Its BGP timers detect a lost neighbour within seconds, as the router's do. */
const birdAgentConfiguration = (host: Host, etcd: EtcdAccess, bird: Bird): string => `[global]
${etcdLines(etcd, 'calico-bird-agent', host)}
Hostname = ${host.name}
AsNumber = ${host.asNumber}
BgpHoldTimeSecs = 9
BgpPasswordFile = ${bird.directory}/passwords.cfg
BirdConfigFile = ${bird.configuration}
BirdSocket = ${bird.controlSocket}
BirdLogFile = ${bird.directory}/bird.log
LogFilePath = none
LogSeverityScreen = INFO
`;
