// A compute host: real BIRD, and this project's Felix, DHCP agent and BIRD agent, each as an operator would start it.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Part, Reporting } from './directory.ts';
import type { Host, Plan } from './plan.ts';
import type { Processes, Service } from './process.ts';
import { type Bird, birdService, hostConfiguration, idleConfiguration } from './services/bird.ts';

export type ComputeHost = Host & {
  readonly bird: Bird;
  /** undefined: this lab goes without. */
  readonly felix: Service | undefined;
  readonly dhcpAgent: Service | undefined;
  readonly birdAgent: Service | undefined;
};

export type HostOptions = {
  readonly etcd: { readonly host: string; readonly port: number };
  readonly without: ReadonlySet<Part>;
  readonly reporting: Reporting | undefined;
  /** Path of one of the project's executables. */
  readonly executable: (name: string) => string;
};

export function computeHost(processes: Processes, plan: Plan, host: Host, options: HostOptions): ComputeHost {
  const withAgent = !options.without.has('bird-agent');
  const bird = birdService(processes, host, withAgent ? idleConfiguration(host) : hostConfiguration(host, plan.router), withAgent);
  const agent = (part: Part, executable: string, file: string, option: string, text: string): Service | undefined => {
    if (options.without.has(part)) return undefined;
    const name = `${host.name}/${part}`;
    const directory = join(processes.directory, name);
    return processes.service({
      name,
      on: host,
      command: options.executable(executable),
      args: [option, join(directory, file)],
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
    felix: agent('felix', 'calico-felix', 'felix.cfg', '-c', felixConfiguration(host, options)),
    dhcpAgent: agent('dhcp-agent', 'calico-dhcp-agent', 'neutron.conf', '--config-file', dhcpConfiguration(host, options.etcd, state('dhcp-agent'))),
    birdAgent: agent('bird-agent', 'calico-bird-agent', 'bird-agent.cfg', '-c', birdAgentConfiguration(host, options.etcd, bird)),
  };
}

/** In order: BIRD first, so that its agent finds it; the agents side by side. */
export async function startHost({ bird, felix, dhcpAgent, birdAgent }: ComputeHost): Promise<void> {
  await bird.start();
  await Promise.all([felix, dhcpAgent, birdAgent].map((service) => service?.start()));
}

type EtcdAddress = HostOptions['etcd'];

/** The prefix of workload interfaces is not said: it comes by etcd, from Neutron's driver. */
const felixConfiguration = (host: Host, { etcd, reporting }: HostOptions): string => `[global]
EtcdEndpoints = http://${etcd.host}:${etcd.port}
FelixHostname = ${host.name}
LogFilePath = none
LogSeverityScreen = INFO
${reporting === undefined ? '' : `ReportingIntervalSecs = ${reporting.intervalSeconds}\nReportingTTLSecs = ${reporting.ttlSeconds}\n`}`;

const dhcpConfiguration = (host: Host, etcd: EtcdAddress, directory: string): string => `[DEFAULT]
host = ${host.name}
state_path = ${directory}/state
dnsmasq_base_log_dir = ${directory}
dns_domain = lab.example.
[calico]
etcd_host = ${etcd.host}
etcd_port = ${etcd.port}
`;

/** With times that let a lost neighbour be noticed in seconds, as the router's. */
const birdAgentConfiguration = (host: Host, etcd: EtcdAddress, bird: Bird): string => `[global]
EtcdEndpoints = http://${etcd.host}:${etcd.port}
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
