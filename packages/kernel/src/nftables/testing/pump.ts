// A worker that sends UDP datagrams over a namespace's loopback as fast as it can, to several ports in turn, until it is stopped.
import { parentPort, workerData } from 'node:worker_threads';
import koffi from 'koffi';
import { close, socket } from '../../netlink/libc.ts';
import { inNamespace } from '../../netlink/namespace.ts';

/** `sent[0]` counts the datagrams sent to each port; any value but 0 in `sent[1]` stops the worker. */
export type Pump = { readonly namespace: string; readonly ports: readonly number[]; readonly sent: Int32Array };

const sendto: (fd: number, bytes: Uint8Array, length: number, flags: number, address: Uint8Array, addressLength: number) => number = koffi
  .load('libc.so.6')
  .func('long sendto(int, const uint8_t *, size_t, int, const uint8_t *, uint32_t)');
const [AF_INET, SOCK_DGRAM] = [2, 2];

const { namespace, ports, sent } = workerData as Pump;
const fd = inNamespace(namespace, () => socket(AF_INET, SOCK_DGRAM, 0));
const addresses = ports.map((port) => Uint8Array.of(AF_INET, 0, port >> 8, port & 255, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0));
const datagram = new Uint8Array(8);
while (Atomics.load(sent, 1) === 0) {
  for (const address of addresses)
    if (sendto(fd, datagram, datagram.length, 0, address, address.length) !== datagram.length) throw new Error('a datagram was not sent');
  Atomics.add(sent, 0, 1);
}
close(fd);
parentPort?.postMessage('done');
