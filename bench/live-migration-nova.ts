// Measures real live migrations: a server of the real Nova, libvirt and QEMU moves there and back in a lab of its own.
import { bringUp } from '../lab/lab.ts';
import { liveMigrate, opening, stageOf } from '../lab/nova/story.ts';
import { type Measurement, quantile } from './bench.ts';

/** The limits of the network's share of the gap, in milliseconds. */
const target = { p50: 100, worst: 250 };

/** Brings a lab of this name up, moves a server there and back so many times, and removes the lab. */
export async function measureReal(prefix: string, iterations: number, progress: (line: string) => void): Promise<readonly Measurement[]> {
  const lab = await bringUp({ prefix, hosts: 3, nova: true });
  try {
    const stage = stageOf(lab);
    for (const { says, act } of opening) {
      await act(stage);
      progress(says);
    }
    for (let move = 0; move < iterations * 2; move += 1) progress(`${move + 1} of ${iterations * 2}: ${await liveMigrate(stage)}`);
    const { moves } = stage;
    const shares = ([4, 6] as const).flatMap((family) => {
      const samples = moves.map(({ networkMs }) => networkMs[family]);
      return [
        { metric: `the network's share of the gap, IPv${family}, p50 ms`, at: samples.length, value: quantile(samples, 0.5), target: target.p50 },
        { metric: `the network's share of the gap, IPv${family}, worst ms`, at: samples.length, value: Math.max(...samples), target: target.worst },
      ];
    });
    const downtimes = moves.map(({ downtimeMs }) => downtimeMs).filter((ms) => !Number.isNaN(ms));
    return [
      ...shares,
      { metric: "QEMU's downtime, p50 ms", at: downtimes.length, value: quantile(downtimes, 0.5) },
      {
        metric: 'the stall of a TCP connection, p50 ms',
        at: moves.length,
        value: quantile(
          moves.map(({ tcpStallMs }) => tcpStallMs),
          0.5,
        ),
      },
    ];
  } finally {
    await lab.down();
  }
}
