// Tells the story of an operator and a server while it happens.
import type { Lab } from '../lab.ts';
import { memoryOf } from '../scene.ts';
import type { Finding, Telling } from '../story/telling.ts';
import { allAgree, play, stageOf, story } from './story.ts';

/** Tells the story. Rejects with ClaimFailed at the first step that fails, or after which the parts do not agree. */
export async function tellOperatorsStory(lab: Lab, telling: Telling): Promise<void> {
  const stage = stageOf(lab);
  telling.say(`  memory: ${Math.round(memoryOf(lab.plan.prefix) / 1024 / 1024)} MB, and half a gigabyte for each server`);
  await telling.chapter('An operator and a server', async () => {
    for (const step of story) {
      await telling.check({ says: step.says, look: () => found(lab, () => play(stage, step)) });
      await telling.check({ says: '  Neutron, etcd, the kernels, Dnsmasq and BIRD agree', look: () => found(lab, () => timed(() => allAgree(stage))) });
    }
  });
}

/** What came of it: what was seen, or why it failed. */
async function found(lab: Lab, work: () => Promise<string>): Promise<Finding> {
  try {
    return { holds: true, seen: await work() };
  } catch (error) {
    lab.processes.signal.throwIfAborted();
    return { holds: false, seen: error instanceof Error ? error.message : String(error) };
  }
}

async function timed(work: () => Promise<unknown>): Promise<string> {
  const beginMs = performance.now();
  await work();
  return `after ${((performance.now() - beginMs) / 1000).toFixed(1)} s`;
}
