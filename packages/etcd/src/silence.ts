// Detects that a peer has been silent for too long.

/** A running watch for silence. */
export interface Listening {
  /** Reports that something arrived. */
  heard(): void;
  stop(): void;
}

/**
 * Calls `onSilence`, once, when nothing arrived for `limitMs` milliseconds. If this process itself stood still, data that arrived meanwhile still counts, because
 * the event loop reads it before the time is compared.
 */
export function listenForSilence(limitMs: number, onSilence: () => void): Listening {
  let lastMs = performance.now();
  let stopped = false;
  let timer = setTimeout(look, limitMs).unref(); // the timer alone does not keep the process alive

  function look(): void {
    setImmediate(() => {
      if (stopped) return;
      const leftMs = lastMs + limitMs - performance.now();
      if (leftMs > 0) timer = setTimeout(look, leftMs).unref();
      else onSilence();
    });
  }

  return {
    heard() {
      lastMs = performance.now();
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
