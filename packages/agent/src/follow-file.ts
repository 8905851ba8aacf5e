// A text file that another program writes, read anew whenever it changes.
import { readFileSync, statSync } from 'node:fs';

/**
 * Tells the file's text at once and after every change (looked at every `everyMs`), whether it is written in place or another file takes its name.
 * undefined: it is not there, or cannot be read.
 */
export function followFile(path: string, onText: (text: string | undefined) => void, everyMs = 2000): { close(): void } {
  let last: string | undefined;

  function look(): void {
    const facts = statSync(path, { throwIfNoEntry: false, bigint: true });
    const now = facts && `${facts.dev} ${facts.ino} ${facts.size} ${facts.mtimeNs} ${facts.ctimeNs}`;
    if (now === last) return;
    onText(facts && readFileSync(path, 'utf8'));
    last = now;
  }

  function tryToLook(): void {
    try {
      look();
    } catch {
      if (last !== 'unreadable') onText(undefined);
      last = 'unreadable';
    }
  }

  last = 'not looked at';
  tryToLook();
  const timer = setInterval(tryToLook, everyMs);
  return { close: () => clearInterval(timer) };
}
