// Reports trouble that keeps the agent from its work as a whole: when it starts or changes, not at each attempt.

/** Keeps repeated trouble from being logged again. */
export interface TroubleTeller {
  /** Calls `say` unless the same trouble was the last one. */
  tell(trouble: string, say: () => void): void;
  /** Ends the trouble: the same one is reported when it comes back. */
  over(): void;
}

/** Creates a teller without trouble. */
export function troubleTeller(): TroubleTeller {
  let last: string | undefined;
  return {
    tell(trouble, say) {
      if (trouble !== last) say();
      last = trouble;
    },
    over() {
      last = undefined;
    },
  };
}
