import type { AddressInfo } from 'node:net';
import { Gauge, Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { createHealth } from './health.ts';
import { healthPages, metricsPages, servePages } from './http.ts';

test('health and metrics are served by path, and nothing else is', async () => {
  const health = createHealth();
  const component = health.register('Loop');
  const registry = new Registry();
  new Gauge({ name: 'felix_host', help: 'h', registers: [registry] }).set(1);
  const server = await servePages('127.0.0.1', 0, new Map([...healthPages(health), ...metricsPages(registry)]));
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
