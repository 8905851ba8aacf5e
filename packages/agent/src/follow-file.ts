// Follows a text file that another program writes.
import { readFileSync, statSync } from 'node:fs';

/** Callbacks of `followFile`. */
export type FileListener = {
  /** Receives the file's text, or undefined when the file does not exist. */
  onText(text: string | undefined): void;
  /** The file exists and cannot be read. Called once, and again only after the file was readable or absent in between. The last text may still be right. */
  onUnreadable(error: Error): void;
};

/**
 * Reports the file's text before it returns, and after every change until `close()`. The file may be written in place or replaced by another of its name.
 * @param everyMs milliseconds between two checks of the file
 */
export function followFile(path: string, { onText, onUnreadable }: FileListener, everyMs = 2000): { close(): void } {
  /** The file's identity, size and times at the last check, which change with its content. Undefined when the file did not exist. */
  let last: string | undefined = 'not checked';

  function check(): void {
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

  check();
  const timer = setInterval(check, everyMs);
  return { close: () => clearInterval(timer) };
}
