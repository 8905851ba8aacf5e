// The login of a user, shared by all calls.
import type { Transport } from './transport.ts';

/** A login. Its token is undefined when authentication is switched off in etcd. */
export type Login = {
  readonly token: Promise<string | undefined>;
  /** The connection over which the token came. */
  over?: Transport;
};

/** Asks etcd for a token until `deadlineMs`. `onConnected` is called with the connection before the request is sent. */
export type Authenticate = (deadlineMs: number, onConnected: (over: Transport) => void) => Promise<string | undefined>;

/** The present login of the user of a connection. */
export class LoginKeeper {
  readonly #authenticate: Authenticate | undefined;
  #login: Login | undefined;

  /** @param authenticate undefined when no user is configured */
  constructor(authenticate: Authenticate | undefined) {
    this.#authenticate = authenticate;
  }

  /** The login, which all calls that wait for it share; undefined when no user is configured. */
  current(deadlineMs: number): Login | undefined {
    if (!this.#authenticate || this.#login) return this.#login;
    const mine: Login = {
      token: this.#authenticate(deadlineMs, (transport) => {
        mine.over = transport;
      }),
    };
    mine.token.catch(() => this.forget(mine)); // the calls that wait for the token report the error
    this.#login = mine;
    return mine;
  }

  /** Makes the next call log in again, unless another call has already done so. */
  forget(stale: Login | undefined): void {
    if (this.#login === stale) this.#login = undefined;
  }

  /**
   * Forgets a token that came over an earlier connection than `transport`, because etcd may have been emptied or restored from a backup since. Such an etcd does not refuse the token:
   * it waits until its log has reached the index at which the token was made (etcd 3.4's simple tokens), which looks like silence.
   */
  forgetIfOlder(stale: Login | undefined, transport: Transport): void {
    if (stale?.over !== transport) this.forget(stale);
  }
}
