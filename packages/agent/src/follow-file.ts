// A text file that another program writes, read anew whenever it changes.
import { readFileSync, statSync } from 'node:fs';

export type FileListener = {
  /** The file's text; undefined: the file is not there. */
  onText(text: string | undefined): void;
  /** The file is there and cannot be read. Told once, until it can be read or is gone. What was told last may well be true still. */
  onUnreadable(error: Error): void;
};

/** Tells the file's text at once and after every change (looked at every `everyMs`), whether it is written in place or another file takes its name. */
export function followFile(path: string, { onText, onUnreadable }: FileListener, everyMs = 2000): { close(): void } {
  /** What the last look found: the facts that tell one content from another. */
  let last: string | undefined = 'not looked at';

  function look(): void {
    try {
      const facts = statSync(path, { throwIfNoEntry: false, bigint: true });
      const now = facts && `${facts.dev} ${facts.ino} ${facts.size} ${facts.mtimeNs} ${facts.ctimeNs}`;
      if (now === last) return;
      const text = facts && readFileSync(path, 'utf8');
      last = now;
      onText(text);
    } catch (error) {
      if (last !== 'unreadable') onUnreadable(error as Error);
      last = 'unreadable';
    }
  }

  look();
  const timer = setInterval(look, everyMs);
  return { close: () => clearInterval(timer) };
}
