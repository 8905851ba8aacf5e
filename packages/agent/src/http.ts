// Serves an agent's health and metrics over HTTP.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Registry } from 'prom-client';
import { boundConnections } from './connections.ts';
import type { Health } from './health.ts';
import { type Logger, silentLog } from './log.ts';
import { startLoop } from './loop.ts';
import { createTlsServer, type PagesTls } from './pages-tls.ts';

type Answer = { readonly status: number; readonly body: string; readonly type?: string };
type Page = () => Answer | Promise<Answer>;

/** The limits on what clients can use of the agent's resources. */
export type PageLimits = {
  /** How many connections are open at once. */
  readonly connections: number;
  /** How long a client may take to send a request's headers. */
  readonly headersMs: number;
  /** How long a client may take to send a whole request. */
  readonly requestMs: number;
  /** After how long a connection is closed on which nothing is sent or received, such as one whose client does not read. */
  readonly idleMs: number;
  /** How large a request's headers may be. */
  readonly headerBytes: number;
};
/** A request for metrics has a few hundred bytes, and they arrive at once. */
const pageLimits: PageLimits = { connections: 64, headersMs: 5000, requestMs: 10_000, idleMs: 30_000, headerBytes: 8192 };

/** Where pages are served: an address or name of this host, and a TCP port; with `tls`, encrypted and perhaps to some clients alone. */
export type Place = { readonly host: string; readonly port: number; readonly tls?: PagesTls | undefined };

/**
 * Serves pages by exact path; any other path is answered with 404. Resolves when the server listens; port 0 picks a free port.
 * @throws the system error when the address or the port cannot be used; PagesTlsError when the certificates cannot
 */
export async function servePages(
  { host, port, tls }: Place,
  pages: ReadonlyMap<string, Page>,
  { limits = pageLimits, log = silentLog() }: { readonly limits?: PageLimits; readonly log?: Logger } = {},
): Promise<Server> {
  const options = {
    handshakeTimeout: limits.headersMs,
    headersTimeout: limits.headersMs,
    requestTimeout: limits.requestMs,
    connectionsCheckingInterval: Math.min(1000, limits.headersMs),
    maxHeaderSize: limits.headerBytes,
  };
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const page = pages.get((request.url ?? '').split('?')[0]!);
    Promise.resolve(page ? page() : { status: 404, body: 'not found' }).then(
      ({ status, body, type = 'text/plain; charset=utf-8' }) => response.writeHead(status, { 'content-type': type }).end(body),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  };
  const server = tls ? createTlsServer(tls, options, answer, log) : createServer(options, answer);
  server.setTimeout(limits.idleMs);
  boundConnections(server, limits.connections);
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, host, resolve));
  server.unref(); // these pages alone do not keep the process alive
  return server;
}

/** Pages that can be opened, moved and closed while the agent runs. */
export interface ServedPages {
  /** Serves the pages at this place from now on, and at no other; undefined closes them. The same place again changes nothing. */
  serve(place: Place | undefined): void;
  /** Closes the pages for good. */
  close(): Promise<void>;
}

/**
 * Starts without a place. A place that cannot be used (its port is taken, for example) is logged once and retried until it can be used. Nothing else waits for it.
 * @param name what the pages are called in the log
 */
export function startPages(name: string, pages: ReadonlyMap<string, Page>, log: Logger): ServedPages {
  let wanted: Place | undefined;
  let served: { readonly at: string; readonly server: Server } | undefined;
  /** The place whose failure has been logged. */
  let reported: string | undefined;
  const textOf = (place: Place | undefined): string | undefined => place && JSON.stringify(place);
  const loop = startLoop({
    async run() {
      const at = textOf(wanted);
      if (at === served?.at) return undefined;
      served?.server.close();
      served = undefined;
      if (at === undefined) return undefined;
      served = { at, server: await servePages(wanted!, pages, { log }) };
      reported = undefined;
      const { host, port, tls } = wanted!;
      log.info({ host, port, ...(tls && { clients: tls.clientAuth }) }, `${name} served${tls ? ' with TLS' : ''}`);
      return undefined;
    },
    onFailure(error) {
      if (reported === textOf(wanted)) return;
      reported = textOf(wanted);
      const { host, port } = wanted ?? {};
      log.error({ err: error, host, port }, `cannot serve ${name}; the agent goes on without, and retries until address, port and certificates can be used`);
    },
  });
  return {
    serve(place) {
      wanted = place;
      loop.wake();
    },
    async close() {
      await loop.close();
      served?.server.close();
    },
  };
}

/** `/liveness` and `/readiness`, as Calico's agents have them: status 200 or 503, with the table of components. */
export function healthPages(health: Health): ReadonlyMap<string, Page> {
  const page =
    (what: 'live' | 'ready'): Page =>
    () => ({ status: health[what] ? 200 : 503, body: health.table() });
  return new Map([
    ['/liveness', page('live')],
    ['/readiness', page('ready')],
  ]);
}

/** `/metrics`, in Prometheus's text format. */
export function metricsPages(registry: Registry): ReadonlyMap<string, Page> {
  return new Map([['/metrics', async () => ({ status: 200, body: await registry.metrics(), type: registry.contentType })]]);
}
