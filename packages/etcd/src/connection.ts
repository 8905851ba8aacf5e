// Calls to a cluster: tries the endpoints in turn, logs the user in, and turns gRPC's errors into ours.

import { backoffMs } from '@calico-openstack/agent/backoff';
import { type Clock, systemClock } from '@calico-openstack/agent/clock';
import { openCertificates } from './certificates.ts';
import { type Endpoint, openEndpoint } from './endpoint.ts';
import { EtcdError, isTransient, messageOf } from './errors.ts';
import { authenticateRequest, type Method, methods } from './messages.ts';
import { listenForSilence } from './silence.ts';
import { codeOf, statusOf } from './status.ts';
import { GrpcError, grpcStatus, type Transport } from './transport.ts';
import type { EtcdOptions } from './types.ts';

/** How long one endpoint may take for its connection, TLS included, before the next is tried. */
const connectMs = 3_000;

/** How one call is made. */
export type CallOptions = {
  /** What the call does, in the words of its error message: `read /calico/x`. */
  readonly what: string;
  /** Whether the call may be sent twice. If so, it is retried on other endpoints until it is answered or its time is over; if not, only when it certainly was not sent. */
  readonly repeatable: boolean;
  /** Called for each piece of the answer that arrives. */
  readonly onAnswering?: () => void;
};

/** What a stream reports. */
export type StreamEvents<Answer> = {
  onAnswer(answer: Answer): void;
  /** The last event, reported once; not reported after close(). */
  onLost(error: EtcdError): void;
};

/** A call that stays open in both directions. */
export interface Stream {
  send(request: Buffer): void;
  /** Says that etcd refused the stream's user, so that the next call asks for a new token. */
  refused(): void;
  /** Closes a stream that does not answer, and makes the next call go to another endpoint. */
  abandon(): void;
  close(): void;
}

/** The connection to a cluster. All calls reject with EtcdError. */
export interface Connection {
  /** One request, one answer. */
  call<Answer>(method: Method<Answer>, request: Buffer, options: CallOptions): Promise<Answer>;
  /** Opens a stream to the endpoint in use, or to the first one that answers. */
  stream<Answer>(method: Method<Answer>, what: string, events: StreamEvents<Answer>): Promise<Stream>;
  readonly endpoint: string;
  /** The remote IP address of the established connection; undefined while there is none. */
  readonly remoteAddress: string | undefined;
  close(): void;
}

type Connected = { readonly endpoint: Endpoint; readonly transport: Transport };
/** A login of the user. Its token is undefined when authentication is switched off in etcd. */
type Login = {
  readonly token: Promise<string | undefined>;
  /** The connection over which the token came. */
  over?: Transport;
};

/**
 * The connection to the cluster that `options` describe. It is established by the first call.
 * @throws ETCD_MISCONFIGURED when there is no endpoint, or a URL or a file cannot be used
 */
export function openConnection(options: EtcdOptions, clock: Clock = systemClock, random: () => number = Math.random): Connection {
  if (options.endpoints.length === 0) throw new EtcdError('ETCD_MISCONFIGURED', 'no etcd endpoint is given');
  const certificates = openCertificates(options);
  const endpoints = options.endpoints.map((text) => openEndpoint(text, certificates));
  const timeoutMs = options.timeoutMs ?? 10_000;
  const closing = new AbortController();
  let current = Math.floor(random() * endpoints.length);
  let login: Login | undefined;

  const inUse = (): Endpoint => endpoints[current]!;
  /** Moves on to the next endpoint, unless another call has already done so. */
  const leave = (endpoint: Endpoint): void => {
    if (endpoint === inUse()) current = (current + 1) % endpoints.length;
  };
  const closedError = (what: string): EtcdError => new EtcdError('ETCD_CLOSED', `cannot ${what}: the connection to etcd was closed`);

  /** Connects to the endpoint in use, or else to the others, each tried once. */
  async function connected(what: string, deadlineMs: number): Promise<Connected> {
    const failures: EtcdError[] = [];
    while (failures.length < endpoints.length) {
      if (closing.signal.aborted) throw closedError(what);
      const endpoint = inUse();
      try {
        return { endpoint, transport: await endpoint.connect(Math.max(1, Math.min(connectMs, deadlineMs - clock.steadyMs()))) };
      } catch (error) {
        if (!(error instanceof EtcdError)) throw error;
        leave(endpoint);
        failures.push(error);
      }
    }
    if (closing.signal.aborted) throw closedError(what);
    throw new EtcdError('ETCD_UNAVAILABLE', `cannot ${what}: no etcd endpoint can be reached (${failures.map(messageOf).join('; ')})`, {
      cause: failures.at(-1),
    });
  }

  /** Sends one request to one endpoint. Fails when nothing arrives for `patienceMs`. `onBytes` is called for each piece of the answer. */
  function ask<Answer>(
    { endpoint, transport }: Connected,
    method: Method<Answer>,
    request: Buffer,
    token: string | undefined,
    { patienceMs, what, onBytes }: { readonly patienceMs: number; readonly what: string; onBytes?(): void },
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
        reject(failure(endpoint, error, what));
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

  function failure(endpoint: Endpoint, error: GrpcError, what: string): EtcdError {
    if (closing.signal.aborted) return closedError(what);
    const code = codeOf(error);
    if (code === 'ETCD_UNAVAILABLE' || code === 'ETCD_TIMEOUT') leave(endpoint);
    return new EtcdError(code, `cannot ${what}: ${endpoint.url}: ${error.message}`, { cause: error });
  }

  /** The user's login, shared by all calls that wait for it; undefined when no user is configured. */
  function loggedIn(deadlineMs: number): Login | undefined {
    const { username, password } = options;
    if (username === undefined || login) return login;
    const mine: Login = {
      token: authenticate(username, password ?? '', deadlineMs, (transport) => {
        mine.over = transport;
      }),
    };
    mine.token.catch(() => forget(mine)); // the calls that wait for the token report the error
    login = mine;
    return mine;
  }

  function forget(stale: Login | undefined): void {
    if (login === stale) login = undefined;
  }

  /**
   * Forgets a token that came over an earlier connection, because etcd may have been emptied or restored from a backup since. Such an etcd does not refuse the token:
   * it waits until its log has reached the index at which the token was made (etcd 3.4's simple tokens), which looks like silence.
   */
  function forgetIfOlder(stale: Login | undefined, transport: Transport): void {
    if (stale?.over !== transport) forget(stale);
  }

  async function authenticate(username: string, password: string, deadlineMs: number, onConnected: (over: Transport) => void): Promise<string | undefined> {
    const what = `authenticate as ${username}`;
    try {
      const to = await connected(what, deadlineMs);
      onConnected(to.transport);
      const patienceMs = deadlineMs - clock.steadyMs();
      return await ask(to, methods.authenticate, authenticateRequest(username, password), undefined, { patienceMs, what });
    } catch (error) {
      const status = grpcStatusOf(error);
      if (status === grpcStatus.FAILED_PRECONDITION) return undefined; // authentication is not enabled
      if (status === grpcStatus.INVALID_ARGUMENT) throw new EtcdError('ETCD_DENIED', messageOf(error), { cause: error });
      throw error;
    }
  }

  async function call<Answer>(method: Method<Answer>, request: Buffer, { what, repeatable, onAnswering }: CallOptions): Promise<Answer> {
    let deadlineMs = clock.steadyMs() + timeoutMs;
    /** Extends the deadline: an answer may take any time as long as pieces of it arrive. */
    const onBytes = (): void => {
      deadlineMs = clock.steadyMs() + timeoutMs;
      onAnswering?.();
    };
    let failures = 0;
    let reason: unknown;
    let loginRenewed = false;
    for (;;) {
      const given = deadlineMs - clock.steadyMs();
      let sent = false;
      let mine: Login | undefined;
      let to: Connected | undefined;
      try {
        if (closing.signal.aborted) throw closedError(what);
        mine = loggedIn(deadlineMs);
        const token = await mine?.token;
        to = await connected(what, deadlineMs);
        // A repeatable call leaves time for another endpoint when this one is silent.
        const remaining = deadlineMs - clock.steadyMs();
        const patienceMs = repeatable && endpoints.length > 1 ? Math.max(remaining / 2, Math.min(remaining, 1_000)) : remaining;
        sent = true;
        return await ask(to, method, request, token, { patienceMs, what, onBytes });
      } catch (error) {
        // UNAUTHENTICATED: the token has expired, or the member that gave it was restarted. INVALID_ARGUMENT: users were changed meanwhile, which meets clients known by a certificate
        // too; it means much else as well, so this is retried only once. Neither call was carried out.
        const status = grpcStatusOf(error);
        if (sent && !loginRenewed && (status === grpcStatus.UNAUTHENTICATED || status === grpcStatus.INVALID_ARGUMENT)) {
          loginRenewed = true;
          forget(mine);
          continue;
        }
        if (to && status === grpcStatus.DEADLINE_EXCEEDED) forgetIfOlder(mine, to.transport);
        if (!isTransient(error) || (sent && !repeatable)) throw error;
        failures += 1;
        // An attempt that had only a little time left fails for want of time. The error of the attempt before it says why etcd cannot be reached.
        const cutShort = (!sent && clock.steadyMs() + 1 >= deadlineMs) || given < timeoutMs / 5;
        if (!cutShort || reason === undefined) reason = error;
        const pauseMs = failures < endpoints.length ? 0 : backoffMs({ firstMs: 100, maxMs: 1_000 }, failures - endpoints.length + 1, random);
        if (clock.steadyMs() + pauseMs + 1 >= deadlineMs) throw reason;
        await clock.pause(pauseMs, closing.signal);
      }
    }
  }

  async function stream<Answer>(method: Method<Answer>, what: string, { onAnswer, onLost }: StreamEvents<Answer>): Promise<Stream> {
    const deadlineMs = clock.steadyMs() + timeoutMs;
    if (closing.signal.aborted) throw closedError(what);
    const mine = loggedIn(deadlineMs);
    const token = await mine?.token;
    const { endpoint, transport } = await connected(what, deadlineMs);
    const lose = (error: GrpcError): void => onLost(failure(endpoint, error, what));
    const opened = transport.call(method.path, metadata(token), {
      onMessage(message) {
        let answer: Answer;
        try {
          answer = method.decode(message);
        } catch (error) {
          opened.cancel();
          return lose(unreadable(error));
        }
        onAnswer(answer);
      },
      onEnd: (error) => lose(error ?? new GrpcError(grpcStatus.UNAVAILABLE, 'the stream was ended')),
    });
    return {
      send: opened.send,
      refused: () => forget(mine),
      abandon() {
        leave(endpoint);
        forgetIfOlder(mine, transport);
        opened.cancel();
      },
      close: opened.cancel,
    };
  }

  return {
    call,
    stream,
    get endpoint() {
      return inUse().url;
    },
    get remoteAddress() {
      return inUse().remoteAddress;
    },
    close() {
      closing.abort();
      for (const endpoint of endpoints) endpoint.close();
    },
  };
}

function metadata(token: string | undefined): Record<string, string> {
  // hasleader: a member without a connection to its cluster refuses the call instead of letting it wait.
  return { hasleader: 'true', ...(token === undefined ? {} : { token }) };
}

const unreadable = (error: unknown): GrpcError => new GrpcError(grpcStatus.UNAVAILABLE, `its answer cannot be read: ${messageOf(error)}`, { cause: error });

function grpcStatusOf(error: unknown): number | undefined {
  return error instanceof EtcdError && error.cause instanceof GrpcError ? statusOf(error.cause) : undefined;
}
