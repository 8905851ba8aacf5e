// A client of the OpenStack APIs: over HTTP, and with the real command-line client.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LabError } from './errors.ts';
import { type HttpAnswer, http } from './http.ts';
import type { Joined } from './plan.ts';
import type { Processes } from './process.ts';
import { administrator, type Keystone } from './services/keystone.ts';
import type { Neutron } from './services/neutron.ts';

/** A network, as far as the lab reads it. The types below have the API's own field names. */
export type Network = { readonly id: string; readonly name: string; readonly mtu: number; readonly subnets: readonly string[] };
/** A subnet. */
export type Subnet = {
  readonly id: string;
  readonly cidr: string;
  readonly ip_version: 4 | 6;
  readonly gateway_ip: string | null;
  readonly enable_dhcp: boolean;
};
/** A fixed IP of a port. */
export type FixedIp = { readonly subnet_id: string; readonly ip_address: string };
/** A port. */
export type Port = {
  readonly id: string;
  readonly name: string;
  readonly status: 'ACTIVE' | 'DOWN' | 'BUILD' | 'ERROR' | 'N/A';
  readonly mac_address: string;
  readonly network_id: string;
  readonly project_id: string;
  readonly device_id: string;
  readonly device_owner: string;
  readonly fixed_ips: readonly FixedIp[];
  readonly security_groups: readonly string[];
  readonly qos_policy_id: string | null;
  readonly 'binding:host_id': string;
  readonly 'binding:vif_type': string;
  readonly 'binding:vif_details': { readonly mac_address?: string; readonly port_filter?: boolean };
};
/** A rule of a security group. */
export type SecurityGroupRule = { readonly id: string; readonly direction: 'ingress' | 'egress'; readonly security_group_id: string };
/** A security group. */
export type SecurityGroup = { readonly id: string; readonly name: string; readonly security_group_rules: readonly SecurityGroupRule[] };
/** An agent in Neutron's list. */
export type Agent = { readonly id: string; readonly host: string; readonly binary: string; readonly agent_type: string; readonly alive: boolean };
type Named = { readonly id: string; readonly name: string };

/** The kinds of resources by the Networking API's names, and what is read of each. */
export type Resources = {
  network: Network;
  subnet: Subnet;
  port: Port;
  security_group: SecurityGroup;
  security_group_rule: SecurityGroupRule;
  address_group: Named;
  floatingip: { readonly id: string; readonly port_id: string | null; readonly floating_ip_address: string; readonly status: 'ACTIVE' | 'DOWN' | 'ERROR' };
  router: Named;
  agent: Agent;
};
/** A kind of resource. */
export type Kind = keyof Resources;

/** The fields of a request, with the API's own names. */
export type Fields = Readonly<Record<string, unknown>>;

/** The requests of the lab's administrator. They reject with API_REFUSED when the service refuses. */
export interface OpenStack {
  create<K extends Kind>(kind: K, fields: Fields): Promise<Resources[K]>;
  get<K extends Kind>(kind: K, id: string): Promise<Resources[K]>;
  /** The resources whose fields have these values. */
  list<K extends Kind>(kind: K, matching?: Readonly<Record<string, string>>): Promise<readonly Resources[K][]>;
  update<K extends Kind>(kind: K, id: string, fields: Fields): Promise<Resources[K]>;
  remove(kind: Kind, id: string): Promise<void>;
  /** Sends any request to the Networking API. Returns the answer as it is, errors included. */
  request(method: string, path: string, body?: unknown): Promise<HttpAnswer>;
  /** Runs `openstack …` on the control machine and returns what it prints. */
  cli(...args: readonly string[]): Promise<string>;
  /** Sends any request to the service behind this socket. Returns the answer as it is, errors included. */
  ask(socket: string, method: string, path: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<HttpAnswer>;
  /** Registers a service in Keystone's catalogue, once; the command-line client needs that. */
  register(service: { readonly name: string; readonly type: string; readonly url: string }): Promise<void>;
  /** The environment variables that `openstack` needs. */
  readonly environment: Readonly<Record<string, string>>;
}

/** The client. It logs in with its first request. */
export function openStack(processes: Processes, on: Joined, keystone: Keystone, neutron: Neutron): OpenStack {
  const environment = {
    OS_AUTH_URL: keystone.authUrl,
    OS_IDENTITY_API_VERSION: '3',
    OS_USERNAME: administrator.user,
    OS_PASSWORD: administrator.password,
    OS_PROJECT_NAME: administrator.project,
    OS_USER_DOMAIN_NAME: administrator.domain,
    OS_PROJECT_DOMAIN_NAME: administrator.domain,
    OS_REGION_NAME: administrator.region,
  };
  let token: Promise<string> | undefined;

  /** The token, for which the first request logs in. A failed login is forgotten, so the next request logs in again. */
  function loggedIn(): Promise<string> {
    if (token !== undefined) return token;
    const begun = login(keystone.socket, processes.signal);
    token = begun;
    begun.catch(() => {
      if (token === begun) token = undefined;
    });
    return begun;
  }

  async function ask(socket: string, method: string, path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}): Promise<HttpAnswer> {
    const asked = loggedIn();
    const answer = await http({ socket, method, path, body, headers: { 'X-Auth-Token': await asked, ...headers }, signal: processes.signal });
    if (answer.status !== 401) return answer;
    if (token === asked) token = undefined; // the token has expired, or Keystone was set up anew
    return await http({ socket, method, path, body, headers: { 'X-Auth-Token': await loggedIn(), ...headers }, signal: processes.signal });
  }

  /** Sends a request and returns the only member of its answer. Rejects with API_REFUSED and what the service says. */
  async function expect(socket: string, method: string, path: string, body?: unknown): Promise<unknown> {
    const answer = await ask(socket, method, path, body);
    if (answer.status >= 400) throw new LabError('API_REFUSED', `${method} ${path} was answered ${answer.status}: ${answer.body.trim()}`);
    if (answer.body === '') return undefined;
    return Object.values(JSON.parse(answer.body) as Record<string, unknown>)[0];
  }

  // Answers are not checked: the types above only say what is read of them.
  const neutronExpects = <T>(method: string, path: string, body?: unknown): Promise<T> => expect(neutron.socket, method, `/v2.0/${path}`, body) as Promise<T>;

  return {
    environment,
    create: (kind, fields) => neutronExpects('POST', collection(kind), { [kind]: fields }),
    get: (kind, id) => neutronExpects('GET', `${collection(kind)}/${id}`),
    list: (kind, matching = {}) => neutronExpects('GET', `${collection(kind)}?${new URLSearchParams(matching)}`),
    update: (kind, id, fields) => neutronExpects('PUT', `${collection(kind)}/${id}`, { [kind]: fields }),
    remove: (kind, id) => neutronExpects('DELETE', `${collection(kind)}/${id}`),
    request: (method, path, body) => ask(neutron.socket, method, `/v2.0/${path}`, body),
    cli: (...args) => processes.run('openstack', args, { on, env: environment }),
    ask,
    async register({ name, type, url }) {
      const service = (await expect(keystone.socket, 'POST', '/v3/services', { service: { name, type } })) as { id: string };
      const endpoint = { service_id: service.id, region_id: administrator.region, url };
      for (const face of ['public', 'internal', 'admin'])
        await expect(keystone.socket, 'POST', '/v3/endpoints', { endpoint: { ...endpoint, interface: face } });
    },
  };
}

/** The path of the credentials' file. */
export const credentialsFile = (labDirectory: string): string => join(labDirectory, 'openrc');

/** Writes the credentials' file, which a shell reads before it runs the OpenStack client. */
export function writeCredentials(labDirectory: string, environment: OpenStack['environment']): void {
  const lines = Object.entries(environment).map(([name, value]) => `export ${name}=${value}\n`);
  writeFileSync(credentialsFile(labDirectory), lines.join(''), { mode: 0o600 });
}

/** The path of a kind in the API: `security_group` is at `security-groups`, `floatingip` at `floatingips`. */
const collection = (kind: Kind): string => `${kind.replaceAll('_', '-')}s`;

async function login(socket: string, signal: AbortSignal): Promise<string> {
  const domain = { name: administrator.domain };
  const body = {
    auth: {
      identity: { methods: ['password'], password: { user: { name: administrator.user, password: administrator.password, domain } } },
      scope: { project: { name: administrator.project, domain } },
    },
  };
  const { status, headers, body: said } = await http({ socket, method: 'POST', path: '/v3/auth/tokens', body, signal });
  const token = headers['x-subject-token'];
  if (token === undefined) throw new LabError('API_REFUSED', `Keystone refused the lab's administrator with ${status}: ${said.trim()}`);
  return token;
}
