// HTTP over a UNIX socket. It reaches into a network namespace, which `fetch` cannot.
import { request } from 'node:http';
import { patienceMs } from './wait.ts';

/** An answer. The names of its headers are in lower case. */
export type HttpAnswer = { readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly body: string };

/** A request to the server behind a UNIX socket. */
export type HttpRequest = {
  readonly socket: string;
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
};

/** Sends a request, with `body` as JSON, or as it is when it is bytes. Each request opens a new connection, because uWSGI closes it after the answer. Rejects when no answer arrives in time. */
export function http({ socket, method = 'GET', path, headers = {}, body, timeoutMs = patienceMs, signal }: HttpRequest): Promise<HttpAnswer> {
  const limit = AbortSignal.timeout(timeoutMs);
  const content = body === undefined || body instanceof Uint8Array ? body : JSON.stringify(body);
  const length = content === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': String(Buffer.byteLength(content)) };
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        socketPath: socket,
        method,
        path,
        agent: false,
        signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
        headers: { Host: 'localhost', Accept: 'application/json', ...length, ...headers },
      },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
        incoming.once('error', reject);
        incoming.once('end', () =>
          resolve({
            status: incoming.statusCode ?? 0,
            headers: Object.fromEntries(Object.entries(incoming.headers).map(([name, value]) => [name, String(value)])),
            body: Buffer.concat(chunks).toString('utf8'),
          }),
        );
      },
    );
    outgoing.once('error', reject);
    outgoing.end(content);
  });
}
