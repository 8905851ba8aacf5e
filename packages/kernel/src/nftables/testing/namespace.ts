// A network namespace for a test, and nft inside it.
import { execFileSync } from 'node:child_process';

let made = 0;

/** A network namespace. */
export type TestNamespace = {
  readonly name: string;
  /** Runs nft inside and returns its output. Throws with its error message. */
  nft(args: readonly string[], input?: string): string;
  ip(...args: readonly string[]): string;
  remove(): void;
};

/** Creates a namespace with a unique name. Call `remove` afterwards, also when the test fails. */
export function makeNamespace(): TestNamespace {
  const name = `nft-${process.pid}-${++made}`;
  const run = (command: string, args: readonly string[], input = ''): string =>
    execFileSync(command, args, { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'], maxBuffer: 1 << 28 });
  run('ip', ['netns', 'add', name]);
  return {
    name,
    nft: (args, input) => run('ip', ['netns', 'exec', name, 'nft', ...args], input),
    ip: (...args) => run('ip', ['-n', name, ...args]),
    remove: () => void run('ip', ['netns', 'del', name]),
  };
}
