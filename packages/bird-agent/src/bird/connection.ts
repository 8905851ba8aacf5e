// The one connection to BIRD's control socket, held open: its end tells at once that BIRD has gone.
import { type BirdControl, BirdError } from './control.ts';

export interface BirdConnection {
  /** The connection; made, and BIRD started where `start` is given, when there is none. Rejects with BirdError. */
  control(): Promise<BirdControl>;
  /** Whether BIRD was there when last looked at. */
  readonly up: boolean;
  close(): void;
}

export type BirdConnectionOptions = {
  /** Connects to BIRD's control socket. Rejects with BirdError, BIRD_AWAY when nobody answers there. */
  readonly connect: () => Promise<BirdControl>;
  /** Starts BIRD. undefined: somebody else does. */
  readonly start: (() => Promise<void>) | undefined;
  /** BIRD has gone, or does not answer any more. */
  readonly onGone: () => void;
};

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
