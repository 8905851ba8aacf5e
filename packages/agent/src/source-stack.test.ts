import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { expect, test } from 'vitest';
import { sourceStack } from './source-stack.ts';

test('a stack of a bundle names the sources, and any other stays as it is', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'source-stack-'));
  try {
    mkdirSync(join(directory, 'src'));
    const source = join(directory, 'src/fault.ts');
    writeFileSync(source, '// first line\n\nexport function fault(): never {\n  throw new Error("ours");\n}\n');
    const outfile = join(directory, 'dist/bundle.js');
    await build({ entryPoints: [source], outfile, bundle: true, platform: 'node', format: 'esm', sourcemap: true, logLevel: 'silent' });
    // Another process is needed, because the one that runs the tests maps stacks by itself.
    const script = `import(${JSON.stringify(pathToFileURL(outfile).href)}).then(({ fault }) => fault()).catch((error) => console.log(error.stack))`;
    const stack = execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' });
    expect(stack).toContain(outfile);
    const mapped = sourceStack(stack);
    expect(mapped).toMatch(/^Error: ours\n {4}at fault \(/);
    expect(mapped).toContain(`${source}:4:9`);
    expect(mapped).not.toContain(outfile);
    const elsewhere = new Error('x').stack!;
    expect(sourceStack(elsewhere)).toBe(elsewhere);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
