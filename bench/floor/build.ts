// Bundles a floor as the agents are bundled, so that both start alike.
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

/** A command that starts a floor in the foreground, until it is closed. */
export type Floor = { readonly command: string; close(): void };

/** Bundles a floor of this folder. @param name the file's name without its ending */
export async function buildFloor(name: string): Promise<Floor> {
  // Inside the project, because the bundle loads koffi from its node_modules.
  const directory = mkdtempSync(join(import.meta.dirname, '.built-'));
  const outfile = join(directory, `${name}.mjs`);
  await build({
    entryPoints: [join(import.meta.dirname, `${name}.ts`)],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    logLevel: 'warning',
    external: ['koffi'],
    banner: { js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);" },
  });
  return { command: `${process.execPath} ${outfile}`, close: () => rmSync(directory, { recursive: true }) };
}
