// Calls to a cluster: tries the endpoints in turn, logs the user in, and turns gRPC's errors into ours.
import { type Clock, systemClock } from '@calico-openstack/agent/clock';
import { Attempts, grpcStatusOf } from './attempts.ts';
import { openCertificates } from './certificates.ts';
import type { Endpoint } from './endpoint.ts';
import { type Connected, closedError, EndpointRing } from './endpoint-ring.ts';
import { EtcdError, messageOf } from './errors.ts';
import { type ExchangeOptions, exchange, metadata, unreadable } from './exchange.ts';
import { type Authenticate, type Login, LoginKeeper } from './login.ts';
import { authenticateRequest, emptyRequest, type Method, methods } from './messages.ts';
import { codeOf } from './status.ts';
import { GrpcError, grpcStatus } from './transport.ts';
import type { EtcdOptions } from './types.ts';

/** How one call is made. */
export type CallOptions = {
  /** A phrase for error messages about the call: `read /calico/x`. */
  readonly what: string;
  /** Whether the call may be sent twice. If so, it is retried on other endpoints until it is answered or its time is over; if not, only when it certainly was not sent. */
  readonly repeatable: boolean;
  /** Called for each piece of the answer that arrives. */
  readonly onAnswering?: () => void;
};

/** The events of a stream. */
export type StreamEvents<Answer> = {
  onAnswer(answer: Answer): void;
  /** The last event, reported once; not reported after close(). */
  onLost(error: EtcdError): void;
};

/** A call that stays open in both directions. */
export interface Stream {
  send(request: Buffer): void;
  /** Says that etcd refused the stream's user, so that the next call requests a new token. */
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

/**
 * The connection to the cluster that `options` describe. It is established by the first call.
 * @throws ETCD_MISCONFIGURED when there is no endpoint, or a URL or a file cannot be used
 */
export const openConnection = (options: EtcdOptions, clock: Clock = systemClock, random: () => number = Math.random): Connection =>
  new ClusterConnection(options, clock, random);

class ClusterConnection implements Connection {
  readonly #endpoints: EndpointRing;
  readonly #logins: LoginKeeper;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #timeoutMs: number;
  readonly #closing = new AbortController();

  constructor(options: EtcdOptions, clock: Clock, random: () => number) {
    if (options.endpoints.length === 0) throw new EtcdError('ETCD_MISCONFIGURED', 'no etcd endpoint is given');
    this.#clock = clock;
    this.#random = random;
    this.#timeoutMs = options.timeoutMs ?? 10_000;
    this.#endpoints = new EndpointRing(options.endpoints, openCertificates(options), clock.steadyMs, random);
    const { username, password = '' } = options;
    this.#logins = new LoginKeeper(username === undefined ? undefined : this.#authenticatorOf(username, password));
  }

  async call<Answer>(method: Method<Answer>, request: Buffer, { what, repeatable, onAnswering }: CallOptions): Promise<Answer> {
    const attempts = new Attempts({ timeoutMs: this.#timeoutMs, repeatable, endpoints: this.#endpoints.size, clock: this.#clock, random: this.#random });
    const onBytes = (): void => {
      attempts.heard();
      onAnswering?.();
    };
    for (;;) {
      attempts.begin();
      let login: Login | undefined;
      let to: Connected | undefined;
      try {
        if (this.#isClosed) throw closedError(what);
        login = this.#logins.current(attempts.deadlineMs);
        const token = await login?.token;
        to = await this.#endpoints.connected(what, attempts.deadlineMs);
        return await this.#ask(to, method, request, what, { token, patienceMs: attempts.patienceMs, onBytes });
      } catch (error) {
        if (to && grpcStatusOf(error) === grpcStatus.DEADLINE_EXCEEDED) this.#logins.forgetIfOlder(login, to.transport);
        const next = attempts.next(error, to !== undefined);
        if (next.renewLogin) this.#logins.forget(login);
        else await this.#clock.pause(next.pauseMs, this.#closing.signal);
      }
    }
  }

  async stream<Answer>(method: Method<Answer>, what: string, { onAnswer, onLost }: StreamEvents<Answer>): Promise<Stream> {
    const deadlineMs = this.#clock.steadyMs() + this.#timeoutMs;
    if (this.#isClosed) throw closedError(what);
    const login = this.#logins.current(deadlineMs);
    const token = await login?.token;
    const to = await this.#endpoints.connected(what, deadlineMs);
    const { endpoint, transport } = to;
    if (token !== undefined) await this.#refuseProxy(to, what, deadlineMs - this.#clock.steadyMs());
    const lose = (error: GrpcError): void => onLost(this.#failure(endpoint, error, what));
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
      refused: () => this.#logins.forget(login),
      abandon: () => {
        this.#endpoints.leave(endpoint);
        this.#logins.forgetIfOlder(login, transport);
        opened.cancel();
      },
      close: opened.cancel,
    };
  }

  get endpoint(): string {
    return this.#endpoints.inUse.url;
  }

  get remoteAddress(): string | undefined {
    return this.#endpoints.inUse.remoteAddress;
  }

  close(): void {
    this.#closing.abort();
    this.#endpoints.close();
  }

  get #isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  #authenticatorOf(username: string, password: string): Authenticate {
    const what = `authenticate as ${username}`;
    return async (deadlineMs, onConnected) => {
      try {
        const to = await this.#endpoints.connected(what, deadlineMs);
        onConnected(to.transport);
        const patienceMs = deadlineMs - this.#clock.steadyMs();
        return await this.#ask(to, methods.authenticate, authenticateRequest(username, password), what, { token: undefined, patienceMs });
      } catch (error) {
        const status = grpcStatusOf(error);
        if (status === grpcStatus.FAILED_PRECONDITION) return undefined; // authentication is not enabled
        if (status === grpcStatus.INVALID_ARGUMENT) throw new EtcdError('ETCD_DENIED', messageOf(error), { cause: error });
        throw error;
      }
    };
  }

  /**
   * Refuses a user's stream through etcd's grpc-proxy (3.4). The proxy opens all its watches over one stream to etcd, with the token of the user who came first. etcd refuses the watches of
   * other users, or the proxy never answers them. Once etcd refuses that token, after a restart, all of them are silent for ever, new ones included.
   */
  async #refuseProxy(to: Connected, what: string, patienceMs: number): Promise<void> {
    try {
      await this.#ask(to, methods.health, emptyRequest, what, { token: undefined, patienceMs });
    } catch (error) {
      if (grpcStatusOf(error) !== grpcStatus.UNIMPLEMENTED) throw error;
      const sentence = `cannot ${what}: ${to.endpoint.url} is etcd's grpc-proxy, behind which users' watches fall silent: name etcd itself as the endpoint`;
      throw new EtcdError('ETCD_REFUSED', sentence, { cause: error });
    }
  }

  /** Sends one request to one endpoint. @throws EtcdError */
  async #ask<Answer>({ endpoint, transport }: Connected, method: Method<Answer>, request: Buffer, what: string, options: ExchangeOptions): Promise<Answer> {
    try {
      return await exchange(transport, method, request, options);
    } catch (error) {
      throw error instanceof GrpcError ? this.#failure(endpoint, error, what) : error;
    }
  }

  /** The error of a call that an endpoint has failed. An endpoint that does not answer is left. */
  #failure(endpoint: Endpoint, error: GrpcError, what: string): EtcdError {
    if (this.#isClosed) return closedError(what);
    const code = codeOf(error);
    if (code === 'ETCD_UNAVAILABLE' || code === 'ETCD_TIMEOUT') this.#endpoints.leave(endpoint);
    return new EtcdError(code, `cannot ${what}: ${endpoint.url}: ${error.message}`, { cause: error });
  }
}
