// Makes BIRD's configuration what it is wanted to be. Compares with what is there, so that nothing happens where all is right, whoever was restarted meanwhile.
import { CodedError } from '@calico-openstack/agent/errors';
import type { BirdControl } from './bird/control.ts';
import type { Configured } from './bird/daemon.ts';
import { configure, runningRevision } from './bird/daemon.ts';
import type { ConfigurationFile } from './bird/file.ts';
import type { PrintedConfiguration } from './bird/print.ts';

/** What the reconciler needs of the world. */
export type BirdHost = Pick<ConfigurationFile, 'readText' | 'draft'> & {
  /** Whether BIRD could read a file. */
  check(path: string): Promise<Configured>;
  /** A connection to the running BIRD, started if that is the agent's to do. Rejects with BirdError (BIRD_AWAY …). */
  control(): Promise<BirdControl>;
  pause(ms: number): Promise<void>;
};

export type Outcome =
  | { readonly kind: 'right' | 'configured' }
  /** The former configuration is in force and in the file. */
  | { readonly kind: 'refused'; readonly by: 'check' | 'bird'; readonly reason: string };

export interface BirdReconciler {
  /**
   * Once this resolves with `right` or `configured`, file and BIRD have this configuration. What BIRD has refused is not tried again until it changes or
   * `refusedRetryMs` have passed: the cause may lie outside, as with a log file that BIRD could not open.
   * Rejects with BirdError when BIRD is away: the file is written by then, if it is good.
   */
  reconcile(wanted: PrintedConfiguration): Promise<Outcome>;
  /** Forgets a refusal: BIRD may have been upgraded. */
  retry(): void;
}

export const refusedRetryMs = 60_000;

export function birdReconciler(host: BirdHost, nowMs: () => number = () => performance.now()): BirdReconciler {
  let refused: { readonly text: string; readonly outcome: Outcome; readonly untilMs: number } | undefined;

  async function reconcile(wanted: PrintedConfiguration): Promise<Outcome> {
    if (refused?.text === wanted.text && nowMs() < refused.untilMs) return refused.outcome;
    refused = undefined;
    const former = await host.readText();
    if (former !== wanted.text) {
      const refusal = await replaceFile(wanted.text);
      if (refusal) return remember(wanted, refusal);
    }
    const control = await host.control();
    if ((await runningRevision(control)) === wanted.revision) return { kind: 'right' };
    const answer = await configure(control);
    if (answer.ok) {
      await settle(control, wanted, answer.file);
      return { kind: 'configured' };
    }
    if (former !== undefined && former !== wanted.text) await (await host.draft(former)).publish();
    return remember(wanted, { kind: 'refused', by: 'bird', reason: answer.reason });
  }

  async function replaceFile(text: string): Promise<Outcome | undefined> {
    const draft = await host.draft(text);
    try {
      const answer = await host.check(draft.path);
      if (!answer.ok) return { kind: 'refused', by: 'check', reason: answer.reason };
      await draft.publish();
      return undefined;
    } finally {
      await draft.discard(); // nothing is left of one that was published
    }
  }

  /** BIRD may have to finish an earlier change first. */
  async function settle(control: BirdControl, { revision }: PrintedConfiguration, file: string | undefined): Promise<void> {
    for (let attempt = 0; attempt < settleAttempts; attempt += 1) {
      if ((await runningRevision(control)) === revision) return;
      await host.pause(settlePauseMs);
    }
    throw new WrongFileError(
      `BIRD does not go over to the configuration that it was given: it has read ${file ?? 'a file'}; start it with -c and BirdConfigFile's path`,
    );
  }

  function remember({ text }: PrintedConfiguration, outcome: Outcome): Outcome {
    refused = { text, outcome, untilMs: nowMs() + refusedRetryMs };
    return outcome;
  }

  return {
    reconcile,
    retry: () => {
      refused = undefined;
    },
  };
}

const settleAttempts = 50;
const settlePauseMs = 100;

/** BIRD was told to read its configuration, did, and has another one than the agent's. */
export class WrongFileError extends CodedError {
  constructor(message: string) {
    super('BIRD_WRONG_FILE', message);
  }
}
