// The distribution's Nova, libvirt and QEMU with this project's parts: an operator's story of a real server, after each step of which everything agrees.
import { randomBytes } from 'node:crypto';
import { allProcesses, commandOf } from '@calico-openstack/kernel/processes/processes';
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { remainsOf } from '../down.ts';
import { bringUp, type Lab } from '../lab.ts';
import { troubleOf } from '../trouble.ts';
import { allAgree, play, type Stage, stageOf, story } from './story.ts';

const prefix = `nova${randomBytes(3).toString('hex')}`;
let lab: Lab;
let stage: Stage;
/** Whether a step has failed: those after it start from what it should have made. */
let isOver = false;

beforeAll(async () => {
  lab = await bringUp({ prefix, hosts: 3, nova: true });
  stage = stageOf(lab);
}, 900_000);
afterAll(async () => await lab?.down());

test.each(story.map((step) => [step.says, step] as const))(
  '%s; then all agree',
  async (_, step) => {
    expect(isOver, 'an earlier step has failed').toBe(false);
    isOver = true;
    onTestFailed(() => void process.stderr.write(`${troubleOf(lab).join('\n')}\n`));
    await play(stage, step);
    await allAgree(stage);
    isOver = false;
  },
  1_000_000,
);

test('the end of the lab ends QEMU too', async () => {
  expect(isOver, 'an earlier step has failed').toBe(false);
  const server = await stage.operator.create('host-2', { name: 'left', networks: [{ uuid: stage.network?.id }], ...stage.image });
  const emulators = (): number => allProcesses().filter(({ pid }) => commandOf(pid).some((word) => word.includes(server.id))).length;
  expect(emulators()).toBe(1);
  await lab.down();
  expect(emulators()).toBe(0);
  expect(remainsOf(prefix)).toEqual([]);
}, 300_000);
