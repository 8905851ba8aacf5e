import { expect, test } from 'vitest';
import { lookAgainMs } from './look-again.ts';

const calm = { isNodeInDoubt: false, isFollowing: true };

test.each([
  ['BIRD has what it should', { bird: 'right', ...calm }, 10_000],
  ['BIRD has just got it', { bird: 'configured', ...calm }, 10_000],
  ['there is no plan', { bird: 'kept', ...calm }, 10_000],
  ['BIRD is away', { bird: 'away', ...calm }, 1000],
  ['BIRD is away, and the Node in doubt', { bird: 'away', isNodeInDoubt: true, isFollowing: true }, 1000],
  ['sessions stay since the datastore seems to have lost its content', { bird: 'doubted', ...calm }, 5000],
  ['BIRD has refused it', { bird: 'refused', ...calm }, 30_000],
  ['the Node could not be written', { bird: 'right', isNodeInDoubt: true, isFollowing: true }, 5000],
  ['the Node cannot be written while etcd is away', { bird: 'right', isNodeInDoubt: true, isFollowing: false }, 10_000],
] as const)('%s', (_, look, ms) => {
  expect(lookAgainMs(look)).toBe(ms);
});
