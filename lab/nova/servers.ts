// An operator's requests to the APIs of Nova and Glance: images, flavors, servers and actions on servers.
import { readFileSync } from 'node:fs';
import { LabError } from '../errors.ts';
import type { Lab } from '../lab.ts';
import { machineImage } from '../machine/image.ts';
import type { Fields, OpenStack } from '../openstack.ts';
import { typeAt } from './console.ts';
import type { Nova } from './nova.ts';

/** A server, as far as the lab reads it; the field names are the API's own. */
export type Server = {
  readonly id: string;
  readonly name: string;
  readonly status: string;
  readonly 'OS-EXT-SRV-ATTR:host': string | null;
  readonly 'OS-EXT-STS:task_state': string | null;
  readonly fault?: { readonly message: string };
};

/** The version of the Compute API that the requests are written for. */
const microversion = { 'X-OpenStack-Nova-API-Version': '2.91' };

/** How long an operation may take. QEMU emulates the processor, and the machine may be busy. */
const operationMs = 300_000;

/** The operator's requests. They reject with API_REFUSED when the service refuses. */
export interface Servers {
  /** Uploads the guest's kernel and its initramfs, and makes a flavor. Returns what `create` needs. */
  prepare(): Promise<{ readonly imageRef: string; readonly flavorRef: string }>;
  /** Makes a flavor without a disk, and returns its id. */
  flavor(name: string, ramMib: number): Promise<string>;
  /** Creates a server on this host, and returns it when it is ACTIVE. */
  create(host: string, fields: Fields): Promise<Server>;
  get(id: string): Promise<Server>;
  /** Carries out an action, and returns the server when it has this status, on this host if one is given, and nothing is under way. */
  act(id: string, action: Fields, status: string, host?: string): Promise<Server>;
  /** Calls `look` with the server again and again until it returns something, and returns that. Rejects as soon as the server is in ERROR, and when the time is over. */
  watch<T>(what: string, id: string, look: (server: Server) => Promise<T | undefined> | T | undefined, timeoutMs?: number): Promise<T>;
  /** The guest's console output. */
  console(id: string): Promise<string>;
  /** Carries out a line of shell in the guest, by its console, and returns what it prints. */
  type(server: Server, line: string): Promise<string>;
  /** Sends any request to the Compute API, and returns the answer's body. */
  ask<T>(method: string, path: string, body?: unknown): Promise<T>;
  /** Deletes the server, and returns when Nova does not know it any more. */
  remove(id: string): Promise<void>;
}

/** Makes an image of Glance. Returns its id. */
async function upload(openstack: OpenStack, { socket }: Nova['glance'], fields: Fields, content: Uint8Array): Promise<string> {
  const made = await openstack.ask(socket, 'POST', '/v2/images', fields);
  if (made.status !== 201) throw new LabError('API_REFUSED', `Glance answered ${made.status}: ${made.body.trim()}`);
  const { id } = JSON.parse(made.body) as { id: string };
  const stored = await openstack.ask(socket, 'PUT', `/v2/images/${id}/file`, content, { 'Content-Type': 'application/octet-stream' });
  if (stored.status !== 204) throw new LabError('API_REFUSED', `Glance answered ${stored.status} to an image's content: ${stored.body.trim()}`);
  return id;
}

/** The requests to this lab's Nova. */
export function servers({ openstack, processes }: Lab, nova: Nova): Servers {
  async function ask<T>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await openstack.ask(nova.api.socket, method, `/v2.1/${path}`, body, microversion);
    if (answer.status >= 400) throw new LabError('API_REFUSED', `${method} ${path} was answered ${answer.status}: ${answer.body.trim()}`);
    return (answer.body === '' ? undefined : JSON.parse(answer.body)) as T;
  }
  const get = async (id: string): Promise<Server> => (await ask<{ server: Server }>('GET', `servers/${id}`)).server;

  async function watch<T>(what: string, id: string, look: (server: Server) => Promise<T | undefined> | T | undefined, timeoutMs = operationMs): Promise<T> {
    let failed: LabError | undefined;
    return await processes.until(
      what,
      async () => {
        const server = await get(id);
        if (server.status !== 'ERROR') return await look(server);
        failed = new LabError('ENDED_EARLY', `the server ${server.name} is in ERROR: ${server.fault?.message ?? 'Nova does not say why'}`);
        return undefined;
      },
      {
        timeoutMs,
        intervalMs: 300,
        hopeful: () => {
          if (failed) throw failed;
        },
      },
    );
  }

  /** Waits until no action is under way. The first reads may still see the server as it was before, because Nova accepts an action first and begins it later. */
  const settled = (id: string, status: string, host?: string): Promise<Server> =>
    watch(`${status} of the server ${id}`, id, (seen) =>
      seen.status === status && seen['OS-EXT-STS:task_state'] === null && (host === undefined || seen['OS-EXT-SRV-ATTR:host'] === host) ? seen : undefined,
    );

  const flavor = async (name: string, ram: number): Promise<string> =>
    (await ask<{ flavor: { id: string } }>('POST', 'flavors', { flavor: { name, ram, vcpus: 1, disk: 0 } })).flavor.id;
  const consoleOf = async (id: string): Promise<string> =>
    (await ask<{ output: string }>('POST', `servers/${id}/action`, { 'os-getConsoleOutput': {} })).output.replaceAll('\r', '');

  return {
    async prepare() {
      const image = (fields: Fields, content: Uint8Array): Promise<string> => upload(openstack, nova.glance, fields, content);
      const { kernel, initramfs } = await machineImage(processes);
      const kernelId = await image({ name: 'kernel', disk_format: 'aki', container_format: 'aki' }, readFileSync(kernel));
      const ramdiskId = await image({ name: 'initramfs', disk_format: 'ari', container_format: 'ari' }, readFileSync(initramfs));
      const disk = { name: 'guest', disk_format: 'raw', container_format: 'bare', kernel_id: kernelId, ramdisk_id: ramdiskId };
      const command = 'console=ttyS0 quiet panic=-1 rdinit=/init lab.name=guest';
      const imageRef = await image({ ...disk, os_command_line: command, hw_vif_model: 'virtio' }, new Uint8Array(1024 * 1024));
      return { imageRef, flavorRef: await flavor('guest', 192) };
    },
    flavor,
    async create(host, fields) {
      const { server } = await ask<{ server: { id: string } }>('POST', 'servers', { server: { availability_zone: `nova:${host}`, ...fields } });
      return await settled(server.id, 'ACTIVE');
    },
    get,
    watch,
    async act(id, action, status, host) {
      await ask('POST', `servers/${id}/action`, action);
      return await settled(id, status, host);
    },
    ask,
    console: consoleOf,
    async type({ id }, line) {
      const seen = await get(id);
      const host = nova.hosts.find(({ name }) => name === seen['OS-EXT-SRV-ATTR:host']);
      if (host === undefined) throw new LabError('BAD_OPTION', `the server ${seen.name} is on no host of this lab`);
      return await typeAt(processes, { host, id, read: () => consoleOf(id) }, line);
    },
    async remove(id) {
      await ask('DELETE', `servers/${id}`);
      const look = async (): Promise<true | undefined> =>
        (await openstack.ask(nova.api.socket, 'GET', `/v2.1/servers/${id}`)).status === 404 ? true : undefined;
      await processes.until(`the end of the server ${id}`, look, { timeoutMs: operationMs, intervalMs: 300 });
    },
  };
}
