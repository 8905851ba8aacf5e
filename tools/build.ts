// Bundles each executable into one file of its room's dist/, for the Node that the project brings.
// The source of an executable NAME is packages/<room>/src/bin/NAME.ts; packages/<room>/bin/NAME starts the bundle.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

const root = join(import.meta.dirname, '..');
const rooms = readdirSync(join(root, 'packages')).filter((room) => existsSync(join(root, 'packages', room, 'src/bin')));

await Promise.all(
  rooms.map((room) =>
    build({
      entryPoints: readdirSync(join(root, 'packages', room, 'src/bin'))
        .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
        .map((file) => join(root, 'packages', room, 'src/bin', file)),
      outdir: join(root, 'packages', room, 'dist'),
      bundle: true,
      platform: 'node',
      target: 'node24',
      format: 'esm',
      sourcemap: true,
      minifyWhitespace: true,
      logLevel: 'warning',
      external: ['koffi'], // it loads a native library from its own folder
      banner: { js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);" }, // bundled CommonJS modules call require
    }),
  ),
);
process.stdout.write(`built ${rooms.join(', ')}\n`);
