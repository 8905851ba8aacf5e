// HTTP over a server's socket file: reaches into a network namespace, which `fetch` cannot.
import { request } from 'node:http';

export type HttpAnswer = { readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly body: string };

export type HttpRequest = {
  readonly socket: string;
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly timeoutSeconds?: number;
  readonly signal?: AbortSignal;
};

/** `body` goes as JSON. Each request has a connection of its own: uWSGI ends it after the answer. Rejects when there is no answer in time. */
export function http({ socket, method = 'GET', path, headers = {}, body, timeoutSeconds = 60, signal }: HttpRequest): Promise<HttpAnswer> {
  const limit = AbortSignal.timeout(timeoutSeconds * 1000);
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        socketPath: socket,
        method,
        path,
        agent: false,
        signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
        headers: { Host: 'localhost', Accept: 'application/json', ...(body === undefined ? {} : { 'Content-Type': 'application/json' }), ...headers },
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
    outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
