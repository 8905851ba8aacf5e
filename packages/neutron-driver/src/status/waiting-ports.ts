// The ports whose statuses wait to be compared. A burst, as after a power failure, must not make a port that is created now wait behind thousands of others, because Nova waits for it.

const share = 20;

/** Ports that wait for their turn, each once. */
export class WaitingPorts {
  readonly #news = new Set<string>();
  readonly #again = new Set<string>();

  /** The number of waiting ports. */
  get size(): number {
    return this.#news.size + this.#again.size;
  }

  /** Adds a port whose row or reports may have changed. */
  add(port: string): void {
    this.#again.delete(port);
    this.#news.add(port);
  }

  /** Adds a port that is due for a second look. It takes no turn from ports with news. */
  addAgain(port: string): void {
    if (!this.#news.has(port)) this.#again.add(port);
  }

  /** Takes the next ports: the newest, those that have waited longest, and some that are due for a second look. */
  take(): string[] {
    const news = [...this.#news];
    const newest = news.slice(-share).reverse();
    const oldest = news.slice(0, Math.max(0, news.length - share)).slice(0, share);
    const taken = [...newest, ...oldest, ...[...this.#again].slice(0, share)];
    for (const port of taken) {
      this.#news.delete(port);
      this.#again.delete(port);
    }
    return taken;
  }
}
