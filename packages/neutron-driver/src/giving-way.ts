// Lets a resync give way to Neutron's users: on the same machine it takes processors and the database from the calls that they wait for.
import type { Clock } from '@calico-openstack/agent';

/** A change that Neutron announced so recently means that users wait for answers. */
const usersMs = 1_000;
/** How many times as long as its last step a resync then rests. */
const restFactor = 3;

/** Waits until the next step may begin. The time since the last wait counts as the last step. */
export type Turn = () => Promise<void>;

/** Knows whether users change something in Neutron at present. */
export class GivingWay {
  readonly #clock: Pick<Clock, 'steadyMs' | 'pause'>;
  #announcedMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Pick<Clock, 'steadyMs' | 'pause'>) {
    this.#clock = clock;
  }

  /** Records that Neutron has announced a change. */
  announced(): void {
    this.#announcedMs = this.#clock.steadyMs();
  }

  /** The turns of a resync: its steps follow one another at once while nobody changes anything, and otherwise with rests. */
  turns(): Turn {
    let begunMs = this.#clock.steadyMs();
    return async () => {
      const tookMs = this.#clock.steadyMs() - begunMs;
      if (this.#clock.steadyMs() - this.#announcedMs < usersMs) await this.#clock.pause(restFactor * tookMs);
      begunMs = this.#clock.steadyMs();
    };
  }
}
