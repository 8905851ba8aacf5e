// The small HTTP face of an agent: health and metrics.
import { createServer, type Server } from 'node:http';
import type { Registry } from 'prom-client';
import { boundConnections } from './connections.ts';
import type { Health } from './health.ts';
import type { Logger } from './log.ts';
import { startLoop } from './loop.ts';

type Answer = { readonly status: number; readonly body: string; readonly type?: string };
type Page = () => Answer | Promise<Answer>;

/**
 * What whoever reaches a page can take of the agent, which has other things to do: a scrape is some hundred bytes that come at once. A connection on which nothing moves, such as one
 * whose client does not read, ends too.
 */
export type PageLimits = {
  readonly connections: number;
  readonly headersMs: number;
  readonly requestMs: number;
  readonly idleMs: number;
  readonly headerBytes: number;
};
const pageLimits: PageLimits = { connections: 64, headersMs: 5000, requestMs: 10_000, idleMs: 30_000, headerBytes: 8192 };

/** Serves pages by exact path; anything else is 404. Resolves once it listens; `port` 0 picks a free one. */
export async function servePages(host: string, port: number, pages: ReadonlyMap<string, Page>, limits: PageLimits = pageLimits): Promise<Server> {
  const options = {
    headersTimeout: limits.headersMs,
    requestTimeout: limits.requestMs,
    connectionsCheckingInterval: Math.min(1000, limits.headersMs),
    maxHeaderSize: limits.headerBytes,
  };
  const server = createServer(options, (request, response) => {
    const page = pages.get((request.url ?? '').split('?')[0]!);
    Promise.resolve(page ? page() : { status: 404, body: 'not found' }).then(
      ({ status, body, type = 'text/plain; charset=utf-8' }) => response.writeHead(status, { 'content-type': type }).end(body),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  server.setTimeout(limits.idleMs);
  boundConnections(server, limits.connections);
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, host, resolve));
  server.unref(); // an agent that has nothing else to do ends
  return server;
}

export type Place = { readonly host: string; readonly port: number };

export interface ServedPages {
  /** They are served there from now on, and nowhere else; undefined: nowhere. The same place again changes nothing. */
  serve(place: Place | undefined): void;
  close(): Promise<void>;
}

/** Pages that can be opened, moved and closed while the agent runs. A place that cannot be had is told, stops nothing else, and is tried until it can. */
export function startPages(name: string, pages: ReadonlyMap<string, Page>, log: Logger): ServedPages {
  let wanted: Place | undefined;
  let served: { readonly at: string; readonly server: Server } | undefined;
  let toldOf: string | undefined;
  const textOf = (place: Place | undefined): string | undefined => place && `${place.host} ${place.port}`;
  const loop = startLoop({
    async run() {
      const at = textOf(wanted);
      if (at === served?.at) return undefined;
      served?.server.close();
      served = undefined;
      if (at === undefined) return undefined;
      served = { at, server: await servePages(wanted!.host, wanted!.port, pages) };
      toldOf = undefined;
      log.info({ ...wanted }, `${name} served`);
      return undefined;
    },
    onFailure(error) {
      if (toldOf === textOf(wanted)) return;
      toldOf = textOf(wanted);
      log.error({ err: error, ...wanted }, `cannot serve ${name}; everything else goes on, and it is tried again`);
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

/** `/liveness` and `/readiness`: 200 or 503, with the table of components. */
export function healthPages(health: Health): ReadonlyMap<string, Page> {
  const page =
    (what: 'live' | 'ready'): Page =>
    () => ({ status: health[what] ? 200 : 503, body: health.table() });
  return new Map([
    ['/liveness', page('live')],
    ['/readiness', page('ready')],
  ]);
}

/** `/metrics` in Prometheus's text format. */
export function metricsPages(registry: Registry): ReadonlyMap<string, Page> {
  return new Map([['/metrics', async () => ({ status: 200, body: await registry.metrics(), type: registry.contentType })]]);
}
