// Calls to a cluster: endpoints tried in turn, the user's token, and errors with our codes.
import { backoff, type Clock, systemClock } from './clock.ts';
import { type Endpoint, openEndpoint } from './endpoint.ts';
import { EtcdError, isTransient, messageOf } from './errors.ts';
import { authenticateRequest, type Method, methods } from './messages.ts';
import { listenForSilence } from './silence.ts';
import { codeOf, statusOf } from './status.ts';
import { GrpcError, grpcStatus, type Transport } from './transport.ts';
import type { EtcdOptions } from './types.ts';

/** How long one endpoint may take for its connection, TLS included, before the next is tried. */
const connectMilliseconds = 3_000;

export type CallOptions = {
  /** What the call does, for its error: `read /calico/x`. */
  readonly what: string;
  /** A call that may be sent twice is, to another endpoint, until it is answered or its time is over. Any other only if it certainly was not sent. */
  readonly repeatable: boolean;
  /** Is called for each piece of the answer that comes in. */
  readonly onAnswering?: () => void;
};

export type StreamEvents<Answer> = {
  onAnswer(answer: Answer): void;
  /** Last, and once, unless it was closed. */
  onLost(error: EtcdError): void;
};

export interface Stream {
  send(request: Buffer): void;
  /** Its user was refused: the next call asks for a new token. */
  refused(): void;
  /** Gives it up because it does not answer: the next call goes to another endpoint. */
  abandon(): void;
  close(): void;
}

export interface Connection {
  /** Asks once and takes the one answer. */
  call<Answer>(method: Method<Answer>, request: Buffer, options: CallOptions): Promise<Answer>;
  /** A stream to the endpoint in use, or to the first that answers. */
  stream<Answer>(method: Method<Answer>, what: string, events: StreamEvents<Answer>): Promise<Stream>;
  readonly endpoint: string;
  /** The address at the other end of the connection that stands. */
  readonly remoteAddress: string | undefined;
  close(): void;
}

type Connected = { readonly endpoint: Endpoint; readonly transport: Transport };
/** undefined inside: etcd has authentication switched off. */
type Login = {
  readonly token: Promise<string | undefined>;
  /** The connection by which it came. */
  over?: Transport;
};

/** Throws ETCD_MISCONFIGURED. Connects with the first call. */
export function openConnection(options: EtcdOptions, clock: Clock = systemClock, random: () => number = Math.random): Connection {
  if (options.endpoints.length === 0) throw new EtcdError('ETCD_MISCONFIGURED', 'no etcd endpoint is given');
  const endpoints = options.endpoints.map((text) => openEndpoint(text, options));
  const timeoutMilliseconds = (options.timeoutSeconds ?? 10) * 1000;
  const closing = new AbortController();
  let current = Math.floor(random() * endpoints.length);
  let login: Login | undefined;

  const inUse = (): Endpoint => endpoints[current]!;
  /** The next endpoint's turn, unless somebody has gone on already. */
  const leave = (endpoint: Endpoint): void => {
    if (endpoint === inUse()) current = (current + 1) % endpoints.length;
  };
  const closedError = (what: string): EtcdError => new EtcdError('ETCD_CLOSED', `cannot ${what}: the connection to etcd was closed`);

  /** The endpoint in use, connected; each is tried once. */
  async function connected(what: string, deadline: number): Promise<Connected> {
    const failures: EtcdError[] = [];
    while (failures.length < endpoints.length) {
      if (closing.signal.aborted) throw closedError(what);
      const endpoint = inUse();
      try {
        return { endpoint, transport: await endpoint.connect(Math.max(1, Math.min(connectMilliseconds, deadline - clock.now()))) };
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

  /** One question to one endpoint, which may be silent for so long. `onBytes`: something of the answer has come. */
  function ask<Answer>(
    { endpoint, transport }: Connected,
    method: Method<Answer>,
    request: Buffer,
    token: string | undefined,
    { patienceMilliseconds, what, onBytes }: { readonly patienceMilliseconds: number; readonly what: string; onBytes?(): void },
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      let begun = false;
      const listening = listenForSilence(Math.max(1, patienceMilliseconds), () => {
        call.cancel();
        const how = begun ? 'fell silent within its answer for' : 'did not answer within';
        fail(new GrpcError(grpcStatus.DEADLINE_EXCEEDED, `${how} ${Math.round(patienceMilliseconds / 100) / 10} s`));
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

  /** The user's login, asked for once for all who wait; undefined without a user. */
  function loggedIn(deadline: number): Login | undefined {
    const { username, password } = options;
    if (username === undefined || login) return login;
    const mine: Login = {
      token: authenticate(username, password ?? '', deadline, (transport) => {
        mine.over = transport;
      }),
    };
    mine.token.catch(() => forget(mine)); // whoever waits for it gets the error
    login = mine;
    return mine;
  }

  function forget(stale: Login | undefined): void {
    if (login === stale) login = undefined;
  }

  /**
   * A token that came by an earlier connection may be another etcd's: one that was emptied or restored from a backup. That one does not refuse the token, it waits until it has come
   * to the log's index at which the token was made (etcd 3.4's simple tokens), which looks like silence.
   */
  function forgetIfOlder(stale: Login | undefined, transport: Transport): void {
    if (stale?.over !== transport) forget(stale);
  }

  async function authenticate(username: string, password: string, deadline: number, onConnected: (over: Transport) => void): Promise<string | undefined> {
    const what = `authenticate as ${username}`;
    try {
      const to = await connected(what, deadline);
      onConnected(to.transport);
      const patienceMilliseconds = deadline - clock.now();
      return await ask(to, methods.authenticate, authenticateRequest(username, password), undefined, { patienceMilliseconds, what });
    } catch (error) {
      const status = grpcStatusOf(error);
      if (status === grpcStatus.FAILED_PRECONDITION) return undefined; // authentication is not enabled
      if (status === grpcStatus.INVALID_ARGUMENT) throw new EtcdError('ETCD_DENIED', messageOf(error), { cause: error });
      throw error;
    }
  }

  async function call<Answer>(method: Method<Answer>, request: Buffer, { what, repeatable, onAnswering }: CallOptions): Promise<Answer> {
    let deadline = clock.now() + timeoutMilliseconds;
    /** An answer that comes in has all the time that it needs, and after its last byte the whole time is there again. */
    const onBytes = (): void => {
      deadline = clock.now() + timeoutMilliseconds;
      onAnswering?.();
    };
    let failures = 0;
    let reason: unknown;
    let loginRenewed = false;
    for (;;) {
      const given = deadline - clock.now();
      let sent = false;
      let mine: Login | undefined;
      let to: Connected | undefined;
      try {
        if (closing.signal.aborted) throw closedError(what);
        mine = loggedIn(deadline);
        const token = await mine?.token;
        to = await connected(what, deadline);
        // A repeatable call leaves time for another endpoint when this one is silent.
        const remaining = deadline - clock.now();
        const patienceMilliseconds = repeatable && endpoints.length > 1 ? Math.max(remaining / 2, Math.min(remaining, 1_000)) : remaining;
        sent = true;
        return await ask(to, method, request, token, { patienceMilliseconds, what, onBytes });
      } catch (error) {
        // 16: the token has expired, or its member was restarted. 3: users were changed meanwhile (and much else: so only once). Neither was carried out.
        const status = grpcStatusOf(error);
        if (sent && mine && !loginRenewed && (status === grpcStatus.UNAUTHENTICATED || status === grpcStatus.INVALID_ARGUMENT)) {
          loginRenewed = true;
          forget(mine);
          continue;
        }
        if (to && status === grpcStatus.DEADLINE_EXCEEDED) forgetIfOlder(mine, to.transport);
        if (!isTransient(error) || (sent && !repeatable)) throw error;
        failures += 1;
        // An attempt that had only what was left of the time, a few milliseconds at worst, says no more than that it was not enough: the one before it says why.
        const cutShort = (!sent && clock.now() + 1 >= deadline) || given < timeoutMilliseconds / 5;
        if (!cutShort || reason === undefined) reason = error;
        const pause = failures < endpoints.length ? 0 : backoff(failures - endpoints.length + 1, 1_000, random);
        if (clock.now() + pause + 1 >= deadline) throw reason;
        await clock.wait(pause, closing.signal);
      }
    }
  }

  async function stream<Answer>(method: Method<Answer>, what: string, { onAnswer, onLost }: StreamEvents<Answer>): Promise<Stream> {
    const deadline = clock.now() + timeoutMilliseconds;
    if (closing.signal.aborted) throw closedError(what);
    const mine = loggedIn(deadline);
    const token = await mine?.token;
    const { endpoint, transport } = await connected(what, deadline);
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
  // hasleader: a member that is cut off from its cluster refuses, instead of keeping us waiting.
  return { hasleader: 'true', ...(token === undefined ? {} : { token }) };
}

const unreadable = (error: unknown): GrpcError => new GrpcError(grpcStatus.UNAVAILABLE, `its answer cannot be read: ${messageOf(error)}`, { cause: error });

function grpcStatusOf(error: unknown): number | undefined {
  return error instanceof EtcdError && error.cause instanceof GrpcError ? statusOf(error.cause) : undefined;
}
