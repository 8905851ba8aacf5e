// Keeps one connection to BIRD's control socket open: its end shows at once that BIRD has ended.
import { type BirdControl, BirdError } from './control.ts';

/** The connection to BIRD. */
export interface BirdConnection {
  /** Returns the connection. Opens it, and starts BIRD if `start` is given, when there is none. Rejects with BirdError. */
  control(): Promise<BirdControl>;
  /** Whether BIRD was running when the connection was last used. */
  readonly up: boolean;
  close(): void;
}

/** How to connect. */
export type BirdConnectionOptions = {
  /** Connects to BIRD's control socket. Rejects with BirdError, BIRD_AWAY when nobody answers there. */
  readonly connect: () => Promise<BirdControl>;
  /** Starts BIRD; undefined when that is not the agent's job. */
  readonly start: (() => Promise<void>) | undefined;
  /** Called when BIRD has ended or does not answer any more. */
  readonly onGone: () => void;
};

/** Creates a connection that is opened when it is first needed. */
export function createBirdConnection({ connect: reach, start, onGone }: BirdConnectionOptions): BirdConnection {
  let current: BirdControl | undefined;
  let closed = false;

  async function connect(): Promise<BirdControl> {
    try {
      return await reach();
    } catch (error) {
      if (!start || !(error instanceof BirdError) || error.code !== 'BIRD_AWAY') throw error;
      await start();
      return reach();
    }
  }

  return {
    async control() {
      if (current) return current;
      const control = await connect();
      if (closed) {
        control.close();
        throw new BirdError('BIRD_AWAY', 'the agent is ending');
      }
      current = control;
      void control.closed.then(() => {
        current = undefined;
        if (!closed) onGone();
      });
      return control;
    },
    get up() {
      return current !== undefined;
    },
    close() {
      closed = true;
      current?.close();
    },
  };
}
