import { describe, expect, test } from 'vitest';
import { readSelector } from './selector.ts';

const labels = (name: string): string | undefined => ({ role: 'web', env: '', 'a.b/c-d_e': 'x"y', in: 'z' })[name];

describe('selectors', () => {
  test.each([
    ['', true],
    ['all()', true],
    ['global( )', true],
    ["role == 'web'", true],
    ['role=="db"', false],
    ["role != 'db'", true],
    ["missing != 'x'", true],
    ["missing == ''", false],
    ["env == ''", true],
    ['has(env)', true],
    ['!has(missing)', true],
    ["role in {'web', 'db'}", true],
    ["role in {'web',}", true],
    ['role in {}', false],
    ['role not in {}', true],
    ["missing not in {'x'}", true],
    ["role notin{'web'}", false],
    ["role contains 'e'", true],
    ["role starts with 'we'", true],
    ["role startswith 'eb'", false],
    ["role ends with 'eb'", true],
    ["missing ends with ''", false],
    [`a.b/c-d_e == 'x"y'`, true],
    ["in == 'z'", true],
    ["!role == 'web' || has(env)", true],
    ["!(role == 'web' || has(env))", false],
    ["has(missing) && has(env) || role == 'web'", true],
    ['has(role) && (has(missing) || has(env))', true],
    ['!!has(role)', true],
    ["!role == 'db' && role == 'web'", true],
  ])('%s: %s', (text, holds) => expect(readSelector(text)?.(labels)).toBe(holds));

  test.each([
    'role ==',
    'role',
    'has(',
    'has()',
    'has (role)',
    "role = 'web'",
    "role == 'web",
    "role == 'web' &&",
    '&& all()',
    "role inx{'a'}",
    "role in {'a' 'b'}",
    'role in {,}',
    '(all()',
    'all())',
    "role\n== 'web'",
    "rôle == 'x'",
    `${'('.repeat(100000)}`,
  ])('%j is none', (text) => expect(readSelector(text)).toBeUndefined());
});
