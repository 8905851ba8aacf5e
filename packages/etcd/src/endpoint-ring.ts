// The endpoints of a cluster, one of which is in use until it fails.

import type { Certificates } from './certificates.ts';
import { type Endpoint, openEndpoint } from './endpoint.ts';
import { EtcdError, messageOf } from './errors.ts';
import type { Transport } from './transport.ts';

/** An endpoint with its established connection. */
export type Connected = { readonly endpoint: Endpoint; readonly transport: Transport };

/** How long one endpoint may take for its connection, TLS included, before the next is tried. */
const connectMs = 3_000;

/** The endpoints. */
export class EndpointRing {
  readonly #endpoints: readonly Endpoint[];
  readonly #nowMs: () => number;
  #current: number;
  #isClosed = false;

  /**
   * Opens the endpoints, and begins with a random one.
   * @param urls at least one
   * @param nowMs steady time
   * @throws ETCD_MISCONFIGURED for a URL that cannot be used
   */
  constructor(urls: readonly string[], certificates: Certificates, nowMs: () => number, random: () => number) {
    this.#endpoints = urls.map((text) => openEndpoint(text, certificates));
    this.#nowMs = nowMs;
    this.#current = Math.floor(random() * urls.length);
  }

  /** The number of endpoints. */
  get size(): number {
    return this.#endpoints.length;
  }

  /** The endpoint in use. */
  get inUse(): Endpoint {
    return this.#endpoints[this.#current]!;
  }

  /** Moves on to the next endpoint, unless another call has already done so. */
  leave(endpoint: Endpoint): void {
    if (endpoint === this.inUse) this.#current = (this.#current + 1) % this.#endpoints.length;
  }

  /**
   * Connects to the endpoint in use, or else to the others, each tried once.
   * @param what what the connection is for, in the words of an error message
   * @throws ETCD_CLOSED after close(), ETCD_UNAVAILABLE when no endpoint can be reached
   */
  async connected(what: string, deadlineMs: number): Promise<Connected> {
    const failures: EtcdError[] = [];
    while (failures.length < this.size) {
      if (this.#isClosed) throw closedError(what);
      const endpoint = this.inUse;
      try {
        return { endpoint, transport: await endpoint.connect(Math.max(1, Math.min(connectMs, deadlineMs - this.#nowMs()))) };
      } catch (error) {
        if (!(error instanceof EtcdError)) throw error;
        this.leave(endpoint);
        failures.push(error);
      }
    }
    if (this.#isClosed) throw closedError(what);
    throw new EtcdError('ETCD_UNAVAILABLE', `cannot ${what}: no etcd endpoint can be reached (${failures.map(messageOf).join('; ')})`, {
      cause: failures.at(-1),
    });
  }

  /** Closes all connections. */
  close(): void {
    this.#isClosed = true;
    for (const endpoint of this.#endpoints) endpoint.close();
  }
}

/** The error of a call on a connection that was closed. */
export const closedError = (what: string): EtcdError => new EtcdError('ETCD_CLOSED', `cannot ${what}: the connection to etcd was closed`);
