// Checks the project's documents: every room has a README, and what a document names in backticks or links to exists. A file that is renamed takes its name in the documents with it.
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');
const { workspaces } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { readonly workspaces: readonly string[] };

/** The folders of all rooms: the workspaces, and the two rooms that are no npm packages. */
const rooms = [...globSync([...workspaces], { cwd: root }), 'devstack', 'neutron', 'packaging', 'tools'].toSorted();

const documents = [...globSync(['*.md', 'docs/*.md'], { cwd: root }), ...rooms.map((room) => `${room}/README.md`)].toSorted();

const isGenerated = (name: string): boolean => ['node_modules', 'dist', '.git', '.cache', '.venv', '__pycache__'].includes(name);

/** All files and folders of the project, from its root; a folder ends with a slash. */
const entries = globSync('**/*', { cwd: root, withFileTypes: true, exclude: (entry) => isGenerated(entry.name) }).map(
  (entry) => `${relative(root, join(entry.parentPath, entry.name))}${entry.isDirectory() ? '/' : ''}`,
);

/** The texts in backticks and the targets of links in a document, without its blocks of code. */
function namesIn(markdown: string): { readonly code: readonly string[]; readonly links: readonly string[] } {
  const prose = markdown.replace(/^```.*?^```/gms, '');
  return {
    code: [...prose.matchAll(/`([^`\n]+)`/g)].map(([, text]) => text!),
    links: [...prose.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map(([, target]) => target!).filter((target) => !/^[a-z]+:/.test(target)),
  };
}

/**
 * Whether a text in backticks is the name of a file or folder of the project: it ends with the extension of a source file, or with a slash. Paths on a host (`/etc/…`, `~`, `<…>`) and
 * patterns (`*`) are none.
 */
const isName = (text: string): boolean => /^[\w@][\w.@/-]*$/.test(text) && /(\/|\.(ts|py|md|json|grit))$/.test(text);

/** The words of a command in backticks that are paths from the project's root. Vitest takes the beginning of a path too. */
const pathsIn = (command: string): string[] =>
  command.split(' ').filter((word) => /^(packages|lab|bench|tools|docs|neutron)\/[\w./-]+$/.test(word) && !word.includes('/.'));

/** The names in a document that stand for nothing. A room's README may leave out the folders inside the room; the documents of the whole project may leave out all. */
function missing(document: string, markdown: string, all: readonly string[] = entries): string[] {
  const { code, links } = namesIn(markdown);
  const folder = dirname(document);
  const within = rooms.includes(folder) ? `${folder}/` : '';
  const exists = (name: string): boolean => all.some((entry) => entry === name || (entry.startsWith(within) && `/${entry}`.endsWith(`/${name}`)));
  return [
    ...code.filter((text) => isName(text) && !exists(text)),
    ...code.flatMap(pathsIn).filter((path) => !all.some((entry) => entry.startsWith(path))),
    ...links.filter((target) => !existsSync(join(root, folder, target))),
  ];
}

/** The anchors of a document, as GitHub makes them of headings. */
const anchorsIn = (markdown: string): ReadonlySet<string> =>
  new Set(
    [...markdown.replace(/^```.*?^```/gms, '').matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
      heading!
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );

/** The links of a document that lead to a heading that is not there. */
const lostAnchors = (document: string, markdown: string): string[] =>
  [...markdown.matchAll(/\]\(([^)#\s:]*)#([^)\s]+)\)/g)].flatMap(([, target, anchor]) => {
    const path = target === '' ? undefined : join(root, dirname(document), target!);
    if (path !== undefined && !existsSync(path)) return [];
    return anchorsIn(path === undefined ? markdown : readFileSync(path, 'utf8')).has(anchor!) ? [] : [`${target}#${anchor}`];
  });

test.each(documents)('the headings that %s links to exist', (document) => {
  expect(lostAnchors(document, readFileSync(join(root, document), 'utf8'))).toEqual([]);
});

test('a link to a heading that is not there is found', () => {
  const text = '# What is here\n[a](#what-is-here) [b](#gone) [c](docs/etcd.md#users) [d](docs/etcd.md#gone) [e](https://x.example/#gone)\n';
  expect(lostAnchors('README.md', text)).toEqual(['#gone', 'docs/etcd.md#gone']);
});

/** The tests that a document names, as a link to the file and a title in quotation marks, and that are not there. */
const lostTests = (document: string, markdown: string): string[] =>
  [...markdown.matchAll(/\]\(([^)\s]+\.ts)\): “([^”]+)”/g)].flatMap(([, target, title]) =>
    readFileSync(join(root, dirname(document), target!), 'utf8').includes(title!) ? [] : [`${target}: ${title}`],
  );

test('the tests that docs/compared.md names exist', () => {
  const document = 'docs/compared.md';
  const markdown = readFileSync(join(root, document), 'utf8');
  expect(lostTests(document, markdown)).toEqual([]);
  const rows = markdown
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .slice(1); // without the heading
  expect(rows.filter((row) => !row.includes(': “'))).toEqual([]);
  expect(lostTests(document, '[rule](../tools/readmes.test.ts): “a title that is nowhere”'.replace('nowhere', 'lost'))).toHaveLength(1);
});

test.each(rooms)('%s has a README that begins with its name and says what it is', (room) => {
  const [heading = '', ...text] = readFileSync(join(root, room, 'README.md'), 'utf8').split('\n');
  expect(heading).toMatch(new RegExp(`^# ${room.split('/').at(-1)!}: \\w.+`));
  expect(text.join(' ').length).toBeGreaterThan(500);
});

test.each(documents)('what %s names exists', (document) => {
  expect(missing(document, readFileSync(join(root, document), 'utf8'))).toEqual([]);
});

test('a name that stands for nothing is found, and what is no name of the project’s is passed over', () => {
  const all = ['packages/etcd/', 'packages/etcd/src/', 'packages/etcd/src/watch.ts', 'packages/felix/src/felix.ts', 'lab/e2e/groups.system.test.ts'];
  const inRoom =
    '`watch.ts`, `src/watch.ts`, `src/`, `gone.ts`, `felix.ts`, `lib/`, `packages/felix/src/felix.ts`, `/etc/gone.json`, `*.gone.ts`, `~/gone.md`, `<dir>/`, `atch.ts`';
  expect(missing('packages/etcd/README.md', inRoom, all)).toEqual(['gone.ts', 'felix.ts', 'lib/', 'atch.ts']);
  expect(
    missing('README.md', '`felix.ts`, `gone.py`; `vitest packages/etcd lab/e2e/groups lab/e2e/gone`; [a](tools/) [b](gone.md) [c](https://gone)', all),
  ).toEqual(['gone.py', 'lab/e2e/gone', 'gone.md']);
  expect(missing('README.md', '```\n`gone.ts`\n```\n', all)).toEqual([]);
});
