// A flood of packets for tests: a thread that sends frames as fast as it can, and counters before and behind all rules that say how many were lost in between.
// A packet takes microseconds. So only a flood always has packets in flight when the rules change.
import { once } from 'node:events';
import { parentPort, Worker, workerData } from 'node:worker_threads';
import { openWire } from '@calico-openstack/kernel/testing/wire';
import type { TestHost } from './host.ts';

/** A frame that is sent again and again, and the expression of nft that matches it. */
export type FloodFlow = { readonly interfaceIndex: number; readonly frame: Uint8Array; readonly match: string };

type Work = { readonly namespace: string; readonly flows: readonly FloodFlow[]; readonly control: Int32Array };

/** How many packets of each flow came to the host, and how many of them the rules lost. */
export type FloodReport = Readonly<Record<string, { readonly came: number; readonly lost: number }>>;

const [SENT, STOP] = [0, 1];

/** Floods while `act` runs. Nothing else may be judged by packets at that time, because the wire of the test overflows. */
export async function flood(host: TestHost, flows: readonly FloodFlow[], act: () => Promise<void>): Promise<FloodReport> {
  const counters = flows.map(({ match }) => `${match} counter`).join('; ');
  await host.exec(
    'nft',
    `table inet flood {
      chain before { type filter hook prerouting priority -1000; ${counters}; }
      chain behind { type filter hook postrouting priority 1000; ${counters}; }
    }`,
  );
  const control = new Int32Array(new SharedArrayBuffer(8));
  const work: Work = { namespace: host.workloadsName, flows, control };
  const worker = new Worker(new URL(import.meta.url), { workerData: work });
  const ended = once(worker, 'message'); // rejects when the worker fails
  try {
    while (Atomics.load(control, SENT) < 1000) await Promise.race([new Promise((resolve) => setTimeout(resolve, 5)), ended]);
    await act();
  } finally {
    Atomics.store(control, STOP, 1);
    await ended;
    await worker.terminate();
    host.readArrivals(); // drops what the wire still holds of the flood
  }
  const counted = async (chain: string): Promise<number[]> =>
    [...(await host.exec('nft', 'list', 'chain', 'inet', 'flood', chain)).matchAll(/counter packets (\d+)/g)].map(([, packets]) => Number(packets));
  let [came, passed] = [await counted('before'), await counted('behind')];
  // On a busy machine some of the flood still waits for the kernel.
  for (let again = await counted('before'); again.join() !== came.join(); again = await counted('before')) [came, passed] = [again, await counted('behind')];
  await host.exec('nft', 'delete table inet flood');
  return Object.fromEntries(flows.map(({ match }, at) => [match, { came: came[at]!, lost: came[at]! - passed[at]! }]));
}

if (parentPort && (workerData as Work | undefined)?.control) {
  const { namespace, flows, control } = workerData as Work;
  const wire = openWire(namespace);
  while (Atomics.load(control, STOP) === 0) {
    for (const { interfaceIndex, frame } of flows) wire.send(interfaceIndex, frame);
    Atomics.add(control, SENT, 1);
  }
  wire.close();
  parentPort.postMessage('ended');
}
