// The running BIRD, by the few questions that the agent has.
import type { BirdControl, Reply } from './control.ts';
import { BirdError } from './control.ts';
import { revisionSymbol } from './print.ts';

export type Configured = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/** Codes of BIRD's answer to `configure`. */
const configured = { done: 3, inProgress: 4, queued: 5 } as const;
const configurationError = 8002;

/** The revision of the configuration that BIRD works by; undefined: one that is not the agent's. */
export async function runningRevision(control: BirdControl): Promise<string | undefined> {
  const { code, lines } = await control.ask(`eval ${revisionSymbol}`);
  return code === 23 ? lines.at(-1)?.text : undefined;
}

/**
 * Has BIRD read its file and go over to it softly: a session that did not change stays up. `ok` means that it will, though sessions that had to go may
 * still be ending.
 */
export async function configure(control: BirdControl): Promise<Configured & { readonly file: string | undefined }> {
  const reply = await control.ask('configure');
  const file = /^Reading configuration from (.*)$/.exec(reply.lines[0]?.text ?? '')?.[1];
  switch (reply.code) {
    case configured.done:
    case configured.inProgress:
    case configured.queued:
      return { ok: true, file };
    case configurationError:
      return { ok: false, reason: lastLine(reply), file };
    default:
      throw new BirdError('BIRD_PROTOCOL', `BIRD answered "configure" with ${reply.code} ${lastLine(reply)}`);
  }
}

const lastLine = (reply: Reply): string => reply.lines.at(-1)?.text ?? '';

/** `state` is BIRD's protocol state (up, start, down, stop), `detail` its last words: for BGP the session's state and the last error. */
export type ProtocolStatus = { readonly name: string; readonly type: string; readonly state: string; readonly since: string; readonly detail: string };

/** `show protocols`. */
export async function protocols(control: BirdControl): Promise<readonly ProtocolStatus[]> {
  const { lines } = await control.ask('show protocols');
  return lines.flatMap(({ code, text }) => {
    const [, name, type, state, since, detail] = /^(\S+)\s+(\S+)\s+\S+\s+(\S+)\s+(\S+(?: \d\S*)?)\s*(.*)$/.exec(text) ?? [];
    return code === 1002 && name && type && state && since ? [{ name, type, state, since, detail: (detail ?? '').trim() }] : [];
  });
}
