// BIRD there or away: started where that is the agent's to do, and told of when it cannot be reached.
import type { Component, Logger } from '@calico-openstack/agent';
import { type BirdControl, BirdError } from './bird/control.ts';
import type { ConfigurationFile } from './bird/file.ts';
import { revisionSymbol } from './bird/print.ts';
import { birdRetryMs } from './look-again.ts';
import type { TroubleTeller } from './trouble.ts';

export interface BirdKeeper {
  /** Where nothing new can be said to BIRD: has it run with the configuration that it had, if BIRD is the agent's to start and that configuration the agent's. */
  keep(): Promise<'kept' | 'away'>;
  /** Tells that BIRD is away. @throws the error itself where it says something else */
  away(error: unknown): 'away';
}

export type KeeperOptions = {
  /** Whether the agent is to start BIRD. */
  readonly isStarter: boolean;
  readonly file: Pick<ConfigurationFile, 'readText'>;
  /** Connects to BIRD, and starts it if it has to. Rejects with BirdError. */
  readonly control: () => Promise<BirdControl>;
  readonly health: Component;
  readonly trouble: TroubleTeller;
  readonly log: Logger;
};

export function birdKeeper({ isStarter, file, control, health, trouble, log }: KeeperOptions): BirdKeeper {
  function away(error: unknown): 'away' {
    if (!(error instanceof BirdError) || (error.code !== 'BIRD_AWAY' && error.code !== 'BIRD_START_FAILED')) throw error;
    health.report({ live: true, ready: false, detail: error.message });
    trouble.tell(error.message, () => log.warn({ err: error, retryMs: birdRetryMs }, 'BIRD is away; its routes stay, and its configuration waits for it'));
    return 'away';
  }

  return {
    async keep() {
      if (!isStarter || !(await file.readText())?.includes(`define ${revisionSymbol} `)) return 'kept';
      try {
        await control();
        return 'kept';
      } catch (error) {
        return away(error);
      }
    },
    away,
  };
}
