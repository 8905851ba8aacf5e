// Makes BIRD use the desired configuration. It compares before it acts, so nothing happens when everything is right, whichever process was restarted.
import { CodedError } from '@calico-openstack/agent/errors';
import type { BirdControl } from './bird/control.ts';
import type { Configured } from './bird/daemon.ts';
import { configure, runningRevision } from './bird/daemon.ts';
import { type ConfigurationFile, type Content, isSameContent } from './bird/file.ts';
import type { PrintedConfiguration } from './bird/print.ts';

/** The parts of the host that the reconciler uses: the file, BIRD's executable, and the running BIRD. */
export type BirdHost = Pick<ConfigurationFile, 'read' | 'draft'> & {
  /** Whether BIRD accepts a file (`bird -p`). */
  check(path: string): Promise<Configured>;
  /** Returns a connection to the running BIRD. Starts BIRD first if that is the agent's task. Rejects with BirdError (BIRD_AWAY …). */
  control(): Promise<BirdControl>;
  pause(ms: number): Promise<void>;
};

/** The result of reconciling. */
export type Outcome =
  | { readonly kind: 'right' | 'configured' }
  /** The configuration was refused. The former one is in force and in the file. */
  | { readonly kind: 'refused'; readonly by: 'check' | 'bird'; readonly reason: string };

/** Brings BIRD to the desired configuration. */
export interface BirdReconciler {
  /**
   * When this resolves with `right` or `configured`, the file and BIRD have this configuration. A configuration that BIRD has refused is not retried until it changes or
   * `refusedRetryMs` have passed, because the cause may lie outside of it (a log file that BIRD cannot open, for example).
   * Rejects with BirdError when BIRD is away; an acceptable configuration has been written to the file by then.
   */
  reconcile(wanted: PrintedConfiguration): Promise<Outcome>;
  /** Forgets a refusal, because BIRD may have been upgraded. */
  retry(): void;
}

/** After this time a refused configuration is retried. */
export const refusedRetryMs = 60_000;

/** A reconciler for one BIRD. */
export function birdReconciler(host: BirdHost, nowMs: () => number = () => performance.now()): BirdReconciler {
  let refused: { readonly revision: string; readonly outcome: Outcome; readonly untilMs: number } | undefined;

  async function reconcile(wanted: PrintedConfiguration): Promise<Outcome> {
    if (refused?.revision === wanted.revision && nowMs() < refused.untilMs) return refused.outcome;
    refused = undefined;
    const former = await host.read();
    const isInFile = former !== undefined && isSameContent(former, wanted);
    if (!isInFile) {
      const refusal = await replaceFile(wanted);
      if (refusal) return remember(wanted, refusal);
    }
    const control = await host.control();
    if ((await runningRevision(control)) === wanted.revision) return { kind: 'right' };
    const answer = await configure(control);
    if (answer.ok) {
      await settle(control, wanted, answer.file);
      return { kind: 'configured' };
    }
    if (former !== undefined && !isInFile) await (await host.draft(former)).publish();
    return remember(wanted, { kind: 'refused', by: 'bird', reason: answer.reason });
  }

  async function replaceFile(content: Content): Promise<Outcome | undefined> {
    const draft = await host.draft(content);
    try {
      const answer = await host.check(draft.path);
      if (!answer.ok) return { kind: 'refused', by: 'check', reason: answer.reason };
      await draft.publish();
      return undefined;
    } finally {
      await draft.discard(); // does nothing after publish()
    }
  }

  /** Waits until BIRD uses the configuration. BIRD may have to finish an earlier change first. */
  async function settle(control: BirdControl, { revision }: PrintedConfiguration, file: string | undefined): Promise<void> {
    for (let attempt = 0; attempt < settleAttempts; attempt += 1) {
      if ((await runningRevision(control)) === revision) return;
      await host.pause(settlePauseMs);
    }
    throw new WrongFileError(`BIRD does not use the agent's configuration: it has read ${file ?? 'a file'}; start it with -c and BirdConfigFile's path`);
  }

  function remember({ revision }: PrintedConfiguration, outcome: Outcome): Outcome {
    refused = { revision, outcome, untilMs: nowMs() + refusedRetryMs };
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

/** The error when BIRD has read another file than the agent's at `configure`, so that it does not use the agent's configuration. */
export class WrongFileError extends CodedError {
  constructor(message: string) {
    super('BIRD_WRONG_FILE', message);
  }
}
