// When nothing has been heard for too long.

export interface Listening {
  /** Something came. */
  heard(): void;
  stop(): void;
}

/** Calls `onSilence`, once, when nothing was heard for that long. Whatever arrived while this process stood still counts: the event loop reads it before anybody is judged. */
export function listenForSilence(milliseconds: number, onSilence: () => void): Listening {
  let last = performance.now();
  let stopped = false;
  let timer = setTimeout(look, milliseconds).unref(); // what is listened to keeps the process alive, or nobody does

  function look(): void {
    setImmediate(() => {
      if (stopped) return;
      const left = last + milliseconds - performance.now();
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
