// Detects that a peer has been silent for too long.

/** A running watch for silence. */
export interface Listening {
  /** Reports that something arrived. */
  heard(): void;
  stop(): void;
}

/**
 * Calls `onSilence`, once, when nothing was heard for that many milliseconds. If this process itself stood still, what arrived meanwhile still counts:
 * the event loop reads it before the time is compared.
 */
export function listenForSilence(ms: number, onSilence: () => void): Listening {
  let last = performance.now();
  let stopped = false;
  let timer = setTimeout(look, ms).unref(); // the timer alone does not keep the process alive

  function look(): void {
    setImmediate(() => {
      if (stopped) return;
      const left = last + ms - performance.now();
      if (left > 0) timer = setTimeout(look, left).unref();
      else onSilence();
    });
  }

  return {
    heard() {
      last = performance.now();
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
