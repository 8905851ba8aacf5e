// Turns a stack's positions in a bundle into positions in the sources. The executables are bundles, whose stacks would otherwise name lines of one long file.
import { readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { dirname, join } from 'node:path';

/** Source maps by file. A map is large and faults are rare, so it is read when a fault is shown, and the garbage collector may drop it. */
const maps = new Map<string, WeakRef<SourceMap>>();

/**
 * The stack with positions in the sources. Positions in a file without a map beside it (`FILE.map`) stay as they are.
 * Node's --enable-source-maps does the same, but holds all maps from the start, which costs each agent 23 MB.
 */
export function sourceStack(stack: string): string {
  return stack.replace(/(?:file:\/\/)?(\/[^\s():]+\.js):(\d+):(\d+)/g, (position: string, file: string, line: string, column: string) => {
    const { originalSource, originalLine, originalColumn } =
      (mapOf(file)?.findEntry(Number(line) - 1, Number(column) - 1) as Partial<{
        originalSource: string;
        originalLine: number;
        originalColumn: number;
      }>) ?? {};
    if (originalSource === undefined || originalLine === undefined || originalColumn === undefined) return position;
    return `${join(dirname(file), originalSource)}:${originalLine + 1}:${originalColumn + 1}`;
  });
}

function mapOf(file: string): SourceMap | undefined {
  const known = maps.get(file)?.deref();
  if (known) return known;
  try {
    const map = new SourceMap(JSON.parse(readFileSync(`${file}.map`, 'utf8')));
    maps.set(file, new WeakRef(map));
    return map;
  } catch {
    return undefined; // the file is not a bundle of ours
  }
}
