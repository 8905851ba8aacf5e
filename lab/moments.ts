// Moments of the past, as BIRD tells them.

/** Less than a session takes to go and come back (`connect delay time`), and more than BIRD is interrupted for. */
const sameMomentMs = 100;

/**
 * BIRD works a moment of the past out anew each time that it tells it, from two clocks that it reads one after the other, and is off by what lies between: a millisecond now
 * and then, more on a busy machine. Gives a function that hands a text back with each time of day in it as it was in the last text of that name, where it is the same
 * moment: so a moment that is told otherwise is another one.
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
