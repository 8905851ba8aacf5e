// One request to one endpoint, and its answer.
import { messageOf } from './errors.ts';
import type { Method } from './messages.ts';
import { listenForSilence } from './silence.ts';
import { GrpcError, grpcStatus, type Transport } from './transport.ts';

/** How one request is sent. */
export type ExchangeOptions = {
  /** The user's token; undefined without a user. */
  readonly token: string | undefined;
  /** The request fails when nothing of its answer comes for so long. */
  readonly patienceMs: number;
  /** Called for each piece of the answer. */
  onBytes?(): void;
};

/** Sends a request and resolves with the answer. Rejects with GrpcError. */
export function exchange<Answer>(
  transport: Transport,
  method: Method<Answer>,
  request: Buffer,
  { token, patienceMs, onBytes }: ExchangeOptions,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let begun = false;
    const listening = listenForSilence(Math.max(1, patienceMs), () => {
      call.cancel();
      const how = begun ? 'fell silent within its answer for' : 'did not answer within';
      fail(new GrpcError(grpcStatus.DEADLINE_EXCEEDED, `${how} ${Math.round(patienceMs / 100) / 10} s`));
    });
    const fail = (error: GrpcError): void => {
      listening.stop();
      reject(error);
    };
    const take = (answer: Answer): void => {
      listening.stop();
      resolve(answer);
    };
    let answer: { readonly is: Answer } | undefined;
    const call = transport.call(method.path, metadata(token), {
      onBytes() {
        begun = true;
        listening.heard();
        onBytes?.();
      },
      onMessage(message) {
        try {
          answer = { is: method.decode(message) };
        } catch (error) {
          return fail(unreadable(error));
        }
        if (!method.held) return;
        call.cancel();
        take(answer.is);
      },
      onEnd(error) {
        if (error || !answer) fail(error ?? new GrpcError(grpcStatus.UNAVAILABLE, 'no answer'));
        else take(answer.is);
      },
    });
    call.send(request);
    if (!method.held) call.end();
  });
}

/** The metadata of every call. With `hasleader`, a member without a connection to its cluster refuses the call instead of letting it wait. */
export const metadata = (token: string | undefined): Record<string, string> => ({ hasleader: 'true', ...(token === undefined ? {} : { token }) });

/** The error of an answer that cannot be decoded. */
export const unreadable = (error: unknown): GrpcError =>
  new GrpcError(grpcStatus.UNAVAILABLE, `its answer cannot be read: ${messageOf(error)}`, { cause: error });
