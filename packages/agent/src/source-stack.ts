// Where in the sources a fault was: the executables are bundles, and a stack names lines of one long file.
import { readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { dirname, join } from 'node:path';

/** A map is large and faults are rare: it is read when one is shown, and kept only as long as there is room. */
const maps = new Map<string, WeakRef<SourceMap>>();

/**
 * The stack with the sources' positions in the place of the bundle's. A file without a map beside it (`FILE.map`) keeps its own positions.
 * Node's --enable-source-maps does the same, but holds all maps from the start: 23 MB an agent.
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
    return undefined; // not a bundle of ours
  }
}
