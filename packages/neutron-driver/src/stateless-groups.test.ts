import { expect, test } from 'vitest';
import { createStatelessGroups } from './stateless-groups.ts';
import { announcement } from './testing/database.ts';

test('a port cannot join a stateless group; one that is in it already may change otherwise', async () => {
  const groups = createStatelessGroups();
  const joins = (before: readonly string[] | null, after: readonly string[] | null): string | undefined =>
    groups.refusal(announcement('port', 'p', before && { security_groups: before }, after && { security_groups: after }));
  expect(joins(null, ['loose'])).toBeUndefined(); // the groups were not read yet
  await groups.read({
    notCarriedOut: async () => [
      { kind: 'security_group', id: 'loose', what: '' },
      { kind: 'trunks', id: 'web', what: '' },
    ],
  });
  expect(joins(null, ['web', 'loose'])).toMatch(/security group loose is stateless/);
  expect(joins(['web'], ['web', 'loose'])).toMatch(/loose/);
  expect(joins(['loose'], ['loose'])).toBeUndefined();
  expect(joins(['loose'], ['web'])).toBeUndefined();
  expect(joins(['loose'], null)).toBeUndefined();
  expect(groups.refusal(announcement('network', 'n', null, { security_groups: ['loose'] }))).toBeUndefined();
});
