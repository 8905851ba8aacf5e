// Times of past events in BIRD's output.

/** Shorter than a session needs to go down and come back (`connect delay time 1`), and longer than BIRD is interrupted for on a busy machine. */
const sameMomentMs = 900;

/**
 * BIRD computes the time of a past event anew for each output, from two clocks that it reads one after the other. The result varies by what lies between: a millisecond
 * now and then, more on a busy machine. This returns a function that replaces each time of day in a text by the one in the last text of that name where both mean the same
 * moment. So a time that differs belongs to another event.
 */
export function steadyMoments(): (name: string, text: string) => string {
  const told = new Map<string, { readonly time: string; readonly ms: number }>();
  return (name, text) => {
    let place = 0;
    return text.replaceAll(/(\d\d):(\d\d):(\d\d\.\d{3})/g, (time: string, hours: string, minutes: string, seconds: string) => {
      const key = `${name} ${place++}`;
      const ms = Number(hours) * 3_600_000 + Number(minutes) * 60_000 + Number(seconds) * 1000;
      const before = told.get(key);
      if (before !== undefined && Math.abs(before.ms - ms) < sameMomentMs) return before.time;
      told.set(key, { time, ms });
      return time;
    });
  };
}
