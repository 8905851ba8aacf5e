// Many taps that are deleted and created again within a minute, as when a host's VMs are all rebooted, and lone changes meanwhile.
import { setTimeout as sleep } from 'node:timers/promises';
import { workloadEndpoint } from '@calico-openstack/felix/testing/resources';
import { type Measurement, quantile } from '../bench.ts';
import { type LoadedHost, localEndpoint, plugAll } from './loaded-host.ts';

const [overMs, atOnce] = [60_000, 20];
const groupOf = (first: number): number => 1 + first / atOnce;

/** All endpoints have one group. At the end each has its route again. */
export async function taps(loaded: LoadedHost, size: number): Promise<readonly Measurement[]> {
  const { host } = loaded;
  const endpoints = Array.from({ length: size }, (_, number) => localEndpoint(number, ['open']));
  for (let first = 0; first < size; first += atOnce) await plugAll(host, endpoints.slice(first, first + atOnce), groupOf(first));
  await host.put(...endpoints.map(workloadEndpoint));
  await loaded.start();
  const routes = async (): Promise<number> =>
    (await host.exec('ip', '-4', 'route', 'show', 'proto', '3')).split('\n').filter((line) => line.includes('dev tap')).length;
  const before = await routes();
  const samples: number[] = [];
  const startMs = performance.now();
  let changing: Promise<unknown> = Promise.resolve();
  for (let first = 0; first < size; first += atOnce) {
    const some = endpoints.slice(first, first + atOnce);
    await host.exec('ip', 'link', 'delete', 'group', String(groupOf(first))); // one by one, the kernel takes longer than a minute
    await plugAll(host, some, groupOf(first));
    if ((first / atOnce) % 5 === 0) changing = changing.then(async () => samples.push(await loaded.loneChangeMs()));
    await sleep(Math.max(0, startMs + (overMs * (first + atOnce)) / size - performance.now()));
  }
  await changing;
  const createdMs = performance.now();
  await host.until(async () => (await routes()) === before, 'all routes to be there again');
  return [
    { metric: 'taps created again within, ms', value: Math.round(createdMs - startMs) },
    { metric: 'last tap created → all routes are there, ms', value: Math.round(performance.now() - createdMs) },
    { metric: 'lone change meanwhile → packet, p50 ms', value: Math.round(quantile(samples, 0.5)) },
    { metric: 'lone change meanwhile → packet, worst ms', value: Math.round(quantile(samples, 1)), target: 1000 },
  ];
}
