// Measures real live migrations: a server of the real Nova, libvirt and QEMU moves there and back in a lab of its own.
import { bringUp } from '../lab/lab.ts';
import { pingEveryMs } from '../lab/nova/measure.ts';
import { liveMigrate, opening, play, stageOf } from '../lab/nova/story.ts';
import { type Measurement, quantile } from './bench.ts';

type Limits = { readonly p50: number; readonly worst: number };

/** The limits of the network's share of the gap, in milliseconds. */
const target: Limits = { p50: 100, worst: 250 };

/** Brings a lab of this name up, moves a server there and back so many times, and removes the lab. */
export async function measureReal(prefix: string, iterations: number, progress: (line: string) => void): Promise<readonly Measurement[]> {
  const beginMs = performance.now();
  const lab = await bringUp({ prefix, hosts: 3, nova: true });
  const upMs = performance.now() - beginMs;
  try {
    const stage = stageOf(lab);
    for (const step of opening) {
      await play(stage, step);
      progress(step.says);
    }
    for (let move = 1; move <= iterations * 2; move += 1) {
      const says = `${move} of ${iterations * 2}`;
      progress(`${says}: ${await play(stage, { says, act: liveMigrate })}`);
    }
    const { moves, resets } = stage;
    const shares = ([4, 6] as const).flatMap((family) => [
      ...figures(
        `the network's share of the gap in ms, IPv${family}`,
        moves.map(({ networkMs }) => networkMs[family]),
        target,
      ),
      ...figures(
        `pings of IPv${family} that were lost, one each ${pingEveryMs} ms, in QEMU's downtime too`,
        moves.map(({ lostPings }) => lostPings[family]),
      ),
    ]);
    const downtimes = moves.map(({ downtimeMs }) => downtimeMs).filter((ms) => !Number.isNaN(ms));
    const stalls = moves.map(({ tcpStallMs }) => tcpStallMs);
    return [
      { metric: 'the lab with Nova is up, s', value: Math.round(upMs / 1000) },
      ...shares,
      ...figures("QEMU's downtime in ms", downtimes),
      ...figures("the stall of a TCP connection in ms, QEMU's downtime too", stalls),
      { metric: "guests whose kernel QEMU's emulation broke in a move", value: resets },
    ];
  } finally {
    await lab.down();
  }
}

/** The median and the greatest of the samples. */
const figures = (name: string, samples: readonly number[], limits?: Limits): Measurement[] => [
  { metric: `${name}, p50`, at: samples.length, value: quantile(samples, 0.5), ...(limits && { target: limits.p50 }) },
  { metric: `${name}, worst`, at: samples.length, value: Math.max(...samples), ...(limits && { target: limits.worst }) },
];
