// Keeps BIRD running: starts it where that is the agent's task, and reports when it cannot be reached.
import type { Component, Logger } from '@calico-openstack/agent';
import { type BirdControl, BirdError } from './bird/control.ts';
import type { ConfigurationFile } from './bird/file.ts';
import { revisionSymbol, textOf } from './bird/print.ts';
import { birdRetryMs } from './look-again.ts';
import type { TroubleTeller } from './trouble.ts';

/** Keeps BIRD running with its former configuration while there is no new one. */
export interface BirdKeeper {
  /** Called when there is no new configuration for BIRD. Starts BIRD with its former one, if the agent starts BIRD and wrote that configuration. */
  keep(): Promise<'kept' | 'away'>;
  /** Reports that BIRD is not running or does not answer. @throws the error itself when it means anything else */
  away(error: unknown): 'away';
}

/** How BIRD is reached, and where trouble is reported. */
export type KeeperOptions = {
  /** Whether the agent is to start BIRD. */
  readonly isStarter: boolean;
  readonly file: Pick<ConfigurationFile, 'read'>;
  /** Connects to BIRD, and starts it if it has to. Rejects with BirdError. */
  readonly control: () => Promise<BirdControl>;
  readonly health: Component;
  readonly trouble: TroubleTeller;
  readonly log: Logger;
};

/** Creates the keeper of this host's BIRD. */
export function birdKeeper({ isStarter, file, control, health, trouble, log }: KeeperOptions): BirdKeeper {
  function away(error: unknown): 'away' {
    if (!(error instanceof BirdError) || (error.code !== 'BIRD_AWAY' && error.code !== 'BIRD_START_FAILED')) throw error;
    health.report({ live: true, ready: false, detail: error.message });
    trouble.tell(error.message, () =>
      log.warn(
        { err: error, retryMs: birdRetryMs },
        'BIRD is away: the kernel keeps its routes, but routes do not change and hosts hear nothing new; retrying; see whether BIRD runs and its control socket is right',
      ),
    );
    return 'away';
  }

  return {
    async keep() {
      if (!isStarter) return 'kept';
      const content = await file.read();
      if (!content || !textOf(content).includes(`define ${revisionSymbol} `)) return 'kept';
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
