import type { AddressInfo } from 'node:net';
import { Gauge, Registry } from 'prom-client';
import { expect, test, vi } from 'vitest';
import { createHealth } from './health.ts';
import { healthPages, metricsPages, type Place, servePages, startPages } from './http.ts';
import { recordingLog } from './log.ts';

const limit = { timeout: 30_000 };

test('health and metrics are served by path, and nothing else is', async () => {
  const health = createHealth();
  const component = health.register('Loop');
  const registry = new Registry();
  new Gauge({ name: 'felix_host', help: 'h', registers: [registry] }).set(1);
  const server = await servePages({ host: '127.0.0.1', port: 0 }, new Map([...healthPages(health), ...metricsPages(registry)]));
  try {
    const get = (path: string) => fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`);
    expect((await get('/readiness')).status).toBe(503);
    component.report({ live: true, ready: true });
    expect((await get('/readiness')).status).toBe(200);
    expect(await (await get('/liveness?x')).text()).toContain('reporting live');
    expect(await (await get('/metrics')).text()).toContain('felix_host 1');
    expect((await get('/')).status).toBe(404);
  } finally {
    server.close();
  }
});

test('pages open, move and close while the agent runs; a port that is taken is told once, and had when it is free', async () => {
  const { log, entries } = recordingLog();
  const pages = startPages('health', new Map([['/here', () => ({ status: 200, body: 'yes' })]]), log);
  const taken = await servePages({ host: '127.0.0.1', port: 0 }, new Map([['/here', () => ({ status: 200, body: 'other' })]]));
  const free = await servePages({ host: '127.0.0.1', port: 0 }, new Map());
  const [first, second] = [taken, free].map((server) => ({ host: '127.0.0.1', port: (server.address() as AddressInfo).port })) as [Place, Place];
  await new Promise((resolve) => free.close(resolve));
  const answer = ({ port }: Place): Promise<string | undefined> =>
    fetch(`http://127.0.0.1:${port}/here`, { headers: { connection: 'close' } }).then(
      (response) => response.text(),
      () => undefined,
    );
  try {
    pages.serve(first);
    await vi.waitUntil(() => entries.length > 0, limit);
    expect(entries).toMatchObject([{ severity: 'ERROR', fields: { port: first.port, err: { code: 'EADDRINUSE' } } }]);
    taken.close();
    await vi.waitUntil(async () => (await answer(first)) === 'yes', limit);
    expect(entries.filter(({ severity }) => severity === 'ERROR')).toHaveLength(1);
    pages.serve(first);
    pages.serve(second);
    await vi.waitUntil(async () => (await answer(second)) === 'yes', limit);
    expect(await answer(first)).toBeUndefined();
    pages.serve(undefined);
    await vi.waitUntil(async () => (await answer(second)) === undefined, limit);
  } finally {
    taken.close();
    await pages.close();
  }
});
