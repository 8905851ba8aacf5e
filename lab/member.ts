// A user in a project of its own, with no more rights than any customer of a cloud has.
import { LabError } from './errors.ts';
import { type HttpAnswer, http } from './http.ts';
import type { Lab } from './lab.ts';
import { administrator } from './services/keystone.ts';

/** The user and its requests. */
export interface Member {
  readonly project: string;
  /** Sends any request to the Networking API. Returns the answer as it is, errors included. */
  request(method: string, path: string, body?: unknown): Promise<HttpAnswer>;
}

/** Creates a project of this name, and in it a user with the role `member`. */
export async function createMember({ keystone, neutron, processes }: Pick<Lab, 'keystone' | 'neutron' | 'processes'>, name: string): Promise<Member> {
  const { signal } = processes;
  const domain = { name: administrator.domain };

  async function login(user: string, password: string, project: string): Promise<string> {
    const identity = { methods: ['password'], password: { user: { name: user, password, domain } } };
    const body = { auth: { identity, scope: { project: { name: project, domain } } } };
    const { status, headers, body: said } = await http({ socket: keystone.socket, method: 'POST', path: '/v3/auth/tokens', body, signal });
    const token = headers['x-subject-token'];
    if (token === undefined) throw new LabError('API_REFUSED', `Keystone refused ${user} with ${status}: ${said.trim()}`);
    return token;
  }

  const administration = await login(administrator.user, administrator.password, administrator.project);
  async function keystoneExpects<T>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await http({ socket: keystone.socket, method, path, body, headers: { 'X-Auth-Token': administration }, signal });
    if (answer.status >= 400) throw new LabError('API_REFUSED', `${method} ${path} was answered ${answer.status}: ${answer.body.trim()}`);
    return (answer.body === '' ? undefined : Object.values(JSON.parse(answer.body) as object)[0]) as T;
  }

  const { id: project, domain_id } = await keystoneExpects<{ id: string; domain_id: string }>('POST', '/v3/projects', { project: { name } });
  const password = `${name}'s`;
  const user = await keystoneExpects<{ id: string }>('POST', '/v3/users', { user: { name, password, domain_id } });
  // The first member of the answer need not be the list: Keystone puts links beside it.
  const roles = await http({ socket: keystone.socket, method: 'GET', path: '/v3/roles?name=member', headers: { 'X-Auth-Token': administration }, signal });
  const role = (JSON.parse(roles.body) as { roles: { id: string }[] }).roles[0];
  if (!role) throw new LabError('API_REFUSED', 'Keystone has no role called member');
  await keystoneExpects('PUT', `/v3/projects/${project}/users/${user.id}/roles/${role.id}`);
  const token = await login(name, password, name);
  return {
    project,
    request: (method, path, body) => http({ socket: neutron.socket, method, path: `/v2.0/${path}`, body, headers: { 'X-Auth-Token': token }, signal }),
  };
}
