// Prints the copyright file of a package: the project's licence, those of the npm packages in its bundles, and Node's.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

/** The folders of the npm packages whose code is in a bundle, according to its source map. */
export function bundledModules(bundle: string): readonly string[] {
  const { sources } = JSON.parse(readFileSync(`${bundle}.map`, 'utf8')) as { sources: readonly string[] };
  const folders = sources.flatMap((source) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(resolve(dirname(bundle), source))?.[1] ?? []);
  return [...new Set(folders)].sort();
}

/** The copyright file (Debian policy 12.5). @param modules folders of npm packages that the package holds */
export function copyrightFile(modules: readonly string[]): string {
  const own = [
    'Copyright 2026 the authors and contributors of Calico for OpenStack in TypeScript.',
    'Licensed under the Apache License, Version 2.0, which is in /usr/share/common-licenses/Apache-2.0 on Debian systems.',
  ];
  const others = modules.map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Record<'name' | 'version' | 'license', string>;
    const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
    const apache = license === 'Apache-2.0' && existsSync('/usr/share/common-licenses/Apache-2.0');
    const text = file === undefined || apache ? '' : `\n\n${readFileSync(join(folder, file), 'utf8').trim()}`;
    return `${name} ${version}, licensed under ${license}.${text}`;
  });
  return `${[own.join('\n'), ...others].join(`\n\n${'-'.repeat(78)}\n\n`)}\n`;
}
