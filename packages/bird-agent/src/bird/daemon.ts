// The questions and commands that the agent has for a running BIRD.
import { type BirdControl, BirdError, isNotUnderstood, type Reply } from './control.ts';
import { revisionSymbol } from './print.ts';

/** Whether a configuration is accepted, or BIRD's reason why not. */
export type Configured = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/** The codes of BIRD's answers to `configure`. */
const configured = { done: 3, inProgress: 4, queued: 5 } as const;
const configurationError = 8002;
/** The least code of answers to a command that failed. */
const failed = 8000;

/** The revision of the configuration that BIRD uses; undefined when it is not one of the agent's. */
export async function runningRevision(control: BirdControl): Promise<string | undefined> {
  const { code, lines } = await control.ask(`eval ${revisionSymbol}`);
  return code === 23 ? lines.at(-1)?.text : undefined;
}

/**
 * Makes BIRD read its file and use it softly: sessions that did not change stay up. `ok` means that BIRD will use it, though removed sessions
 * may still be closing.
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

/**
 * Asks a session's neighbour to send its routes again, so that they are judged anew. The answer is `ok: false` when the neighbour cannot (RFC 2918).
 * BIRD 3.4 has renamed the command. Rejects with BirdError, also when BIRD understands neither name: then a route that must go would stay.
 */
export async function judgeSessionAgain(control: BirdControl, session: string): Promise<Configured> {
  let reply = await control.ask(`reload in '${session}'`);
  if (isNotUnderstood(reply)) reply = await control.ask(`reload filters in '${session}'`);
  if (isNotUnderstood(reply)) throw new BirdError('BIRD_PROTOCOL', `BIRD does not know how to reload a session: ${lastLine(reply)}`);
  return reply.code < failed ? { ok: true } : { ok: false, reason: lastLine(reply) };
}

/** The state of a protocol of BIRD's. `state` is up, start, down or stop; `detail` is BIRD's last message: for BGP the session's state and the last error. */
export type ProtocolStatus = { readonly name: string; readonly type: string; readonly state: string; readonly since: string; readonly detail: string };

/** The protocols, as `show protocols` lists them. */
export async function protocols(control: BirdControl): Promise<readonly ProtocolStatus[]> {
  const { lines } = await control.ask('show protocols');
  return lines.flatMap(({ code, text }) => {
    const [, name, type, state, since, detail] = /^(\S+)\s+(\S+)\s+\S+\s+(\S+)\s+(\S+(?: \d\S*)?)\s*(.*)$/.exec(text) ?? [];
    return code === 1002 && name && type && state && since ? [{ name, type, state, since, detail: (detail ?? '').trim() }] : [];
  });
}
