// Trouble that keeps the agent from its work as a whole: told when it starts or changes, not at each attempt.

export interface TroubleTeller {
  /** Calls `say` unless this very trouble was the last one. */
  tell(trouble: string, say: () => void): void;
  /** All is well again: the same trouble is told when it comes back. */
  over(): void;
}

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
