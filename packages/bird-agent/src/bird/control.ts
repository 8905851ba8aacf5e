// Speaks with BIRD over its control socket: commands are lines, answers are lines that begin with a code of four digits.
import { connect } from 'node:net';
import { CodedError } from '@calico-openstack/agent/errors';

/** BIRD_AWAY: nobody answers at the socket. BIRD_SILENT: BIRD accepted a command and did not answer in time. BIRD_PROTOCOL: its answer is malformed. */
export type BirdErrorCode = 'BIRD_AWAY' | 'BIRD_SILENT' | 'BIRD_PROTOCOL' | 'BIRD_MISSING' | 'BIRD_START_FAILED';

/** A failure of BIRD. */
export class BirdError extends CodedError {
  declare readonly code: BirdErrorCode;
  constructor(code: BirdErrorCode, message: string, options?: ErrorOptions) {
    super(code, message, options);
  }
}

/** A line of an answer. */
export type ReplyLine = { readonly code: number; readonly text: string };
/** A whole answer. `code` is that of its last line: below 8000 for success, 8xxx for an error while the command was carried out, 9xxx for a command that BIRD does not understand. */
export type Reply = { readonly code: number; readonly lines: readonly ReplyLine[] };

/** Whether BIRD does not understand the command. */
export const isNotUnderstood = ({ code }: Reply): boolean => code >= 9000;

/** A connection to BIRD. */
export interface BirdControl {
  /** Sends a command and resolves with the answer. Commands run one after another. Rejects with BirdError. */
  ask(command: string): Promise<Reply>;
  /** Resolves when the connection has ended, for whatever reason. */
  readonly closed: Promise<void>;
  close(): void;
}

/** Returns a function that takes the pieces of BIRD's output and returns the answers that are complete. It throws BIRD_PROTOCOL. */
export function createReplyParser(): (text: string) => readonly Reply[] {
  let rest = '';
  let lines: ReplyLine[] = [];
  return (text) => {
    const replies: Reply[] = [];
    const pieces = (rest + text).split('\n');
    rest = pieces.pop() ?? '';
    for (const piece of pieces) {
      if (piece.startsWith('+')) continue; // an asynchronous event, which is not part of an answer
      const coded = /^(\d{4})([ -])(.*)$/.exec(piece);
      const code = coded ? Number(coded[1]) : lines.at(-1)?.code;
      if (code === undefined || (!coded && !piece.startsWith(' ')))
        throw new BirdError('BIRD_PROTOCOL', `BIRD said ${JSON.stringify(piece.slice(0, 80))}, which is no answer`);
      lines.push({ code, text: coded ? coded[3]! : piece.slice(1) });
      if (coded?.[2] !== ' ') continue;
      replies.push({ code, lines });
      lines = [];
    }
    return replies;
  };
}

/** Connects and waits for BIRD's greeting. Rejects with BIRD_AWAY when no BIRD listens, and with BIRD_SILENT when it does not greet in time. */
export function connectBird(socketPath: string, timeoutMs: number): Promise<BirdControl> {
  const socket = connect(socketPath);
  socket.setEncoding('utf8');
  const waiting: { resolve: (reply: Reply) => void; reject: (error: BirdError) => void }[] = [];
  const closed = Promise.withResolvers<void>();
  let gone: BirdError | undefined;

  function fail(error: BirdError): void {
    gone ??= error;
    socket.destroy();
    for (const { reject } of waiting.splice(0)) reject(gone);
  }

  const parse = createReplyParser();
  socket.on('data', (text: string) => {
    try {
      for (const reply of parse(text)) waiting.shift()?.resolve(reply);
    } catch (error) {
      fail(error as BirdError);
    }
  });
  socket.on('error', (error: NodeJS.ErrnoException) => fail(new BirdError('BIRD_AWAY', `no BIRD answers at ${socketPath}: ${error.code}`, { cause: error })));
  socket.on('close', () => {
    fail(new BirdError('BIRD_AWAY', `BIRD at ${socketPath} has gone`));
    closed.resolve();
  });

  /** Waits for the next answer. After a missing answer the connection is closed, because the next answer would be taken for it. */
  async function answer(what: string): Promise<Reply> {
    if (gone) throw gone;
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    waiting.push({ resolve, reject });
    const timer = setTimeout(() => fail(new BirdError('BIRD_SILENT', `BIRD at ${socketPath} gave no answer to ${what} in ${timeoutMs / 1000} s`)), timeoutMs);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  const control: BirdControl = {
    ask(command) {
      if (command.includes('\n')) throw new RangeError('a command is one line');
      if (!gone) socket.write(`${command}\n`);
      return answer(`"${command}"`);
    },
    closed: closed.promise,
    close: () => fail(new BirdError('BIRD_AWAY', 'the connection to BIRD was closed')),
  };
  return answer('a connection').then(() => control);
}
