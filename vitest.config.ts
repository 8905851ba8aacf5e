import { defineConfig } from 'vitest/config';

const everywhere = ['packages/*/src', 'lab', 'bench', 'tools', 'packaging', 'devstack'];
const ending = (suffix: string): string[] => everywhere.map((folder) => `${folder}/**/*${suffix}`);
const system = '.system.test.ts';
const long = '.long.test.ts';

export default defineConfig({
  test: {
    projects: [
      // Needs neither root nor servers. Properties of many runs take a second or two, and several times that on a machine that is busy.
      {
        test: {
          name: 'unit',
          include: ending('.test.ts'),
          exclude: ['**/node_modules/**', ...ending(system), ...ending(long), '**/e2e/**'],
          testTimeout: 60_000,
        },
      },
      // Root, namespaces, real servers. Two files at a time: each has a world of its own, and most of them wait most of the time. A new Neutron's tables take minutes on a busy machine.
      { test: { name: 'system', include: ending(system), maxWorkers: 2, testTimeout: 600_000, hookTimeout: 1_200_000 } },
      // Long properties, interleavings, faults.
      { test: { name: 'long', include: ending(long), fileParallelism: false, testTimeout: 3_600_000, hookTimeout: 1_200_000 } },
    ],
  },
});
