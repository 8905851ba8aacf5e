import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { LabError } from '../errors.ts';
import { http } from '../http.ts';
import type { Joined } from '../plan.ts';
import type { Processes, Service } from '../process.ts';
import { tailOf, until } from '../wait.ts';

/** An OpenStack API. */
export interface WsgiService extends Service {
  /** The UNIX socket by which the lab's own client reaches it from outside of the namespace. */
  readonly socket: string;
  /** The URL by which machines of the lab reach it. */
  readonly url: string;
}

/**
 * A WSGI application: a file with Debian's uWSGI and Python, or a module with the `uwsgi` of a virtual environment. Or a command that serves by itself; it gets the address, the port and
 * the socket as its last arguments.
 */
export type WsgiApplication =
  | { readonly file: string }
  | { readonly module: string; readonly environment: string }
  | { readonly serving: readonly [command: string, ...args: string[]] };

/** How to run it. */
export type WsgiProgram = {
  readonly name: string;
  readonly on: Joined;
  readonly port: number;
  /** The application. */
  readonly application: WsgiApplication;
  readonly workers: number;
  readonly env: Readonly<Record<string, string>>;
  readonly prepare: () => void | Promise<void>;
};

/** Describes an OpenStack API under uWSGI, as Debian runs it: each worker loads the application. A worker has one thread, because Neutron's eventlet does not support more. */
export function wsgiService(processes: Processes, { name, on, port, application, workers, env, prepare }: WsgiProgram): WsgiService {
  const directory = join(processes.directory, name);
  const socket = join(directory, 'sock');
  const address = on.link.machine4;
  const [command, ...args] =
    'serving' in application ? [...application.serving, address, String(port), socket] : uwsgi(application, address, port, socket, workers);
  const service = processes.service({
    name,
    on,
    command,
    args,
    env: { PYTHONDONTWRITEBYTECODE: '1', ...env },
    prepare: async () => {
      mkdirSync(directory, { recursive: true });
      rmSync(socket, { force: true });
      await prepare();
    },
    ready: async (hopeful) => {
      const healthy = (): void => {
        hopeful();
        // A worker that cannot load the application dies, and uWSGI restarts it for ever.
        if (/DAMN ! worker|unable to load app/.test(service.said()))
          throw new LabError('ENDED_EARLY', `${name} cannot load its application; ${tailOf(service.log, 40)}`);
      };
      // The socket exists long before the application does. A request waits in it until it is answered, so only one is sent at a time.
      let waiting = false;
      let answered: true | undefined;
      const ask = async (): Promise<void> => {
        waiting = true;
        answered = await answers(socket, processes.signal).finally(() => {
          waiting = false;
        });
      };
      const look = (): true | undefined => {
        if (!waiting) ask().catch(() => {}); // it does not listen yet
        return answered;
      };
      await until(`an answer of ${name}`, look, { timeoutMs: 600_000, intervalMs: 20, hopeful: healthy });
    },
  });
  return Object.assign(service, { socket, url: `http://${on.link.machine4}:${port}` });
}

function uwsgi(
  application: Exclude<WsgiApplication, { readonly serving: unknown }>,
  address: string,
  port: number,
  socket: string,
  workers: number,
): [command: string, ...args: string[]] {
  return [
    'file' in application ? 'uwsgi' : join(application.environment, 'bin/uwsgi'),
    ...('file' in application
      ? ['--plugins-dir', '/usr/lib/uwsgi/plugins', '--plugin', 'python3', '--wsgi-file', application.file]
      : ['--virtualenv', application.environment, '--module', application.module]),
    ...['--http-socket', `${address}:${port}`, '--http-socket', socket, '--add-header', 'Connection: close', '--buffer-size', '65535'],
    ...['--master', '--processes', String(workers), '--threads', '1', '--enable-threads', '--lazy-apps', '--need-app', '--die-on-term', '--no-orphans'],
  ];
}

/** Resolves to true for any answer that is not a server error. */
async function answers(socket: string, signal: AbortSignal): Promise<true | undefined> {
  const { status } = await http({ socket, path: '/', signal });
  return status > 0 && status < 500 ? true : undefined;
}
