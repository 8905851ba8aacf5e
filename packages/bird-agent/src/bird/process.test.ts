import { expect, test } from 'vitest';
import { checkConfiguration } from './process.ts';

test('a host without BIRD is told what to install', async () => {
  await expect(checkConfiguration('/nonexistent/bird', '/etc/bird/bird.conf')).rejects.toMatchObject({
    code: 'BIRD_MISSING',
    message: "cannot run /nonexistent/bird -p: ENOENT; install bird2, or name BIRD's program with BirdExecutable",
  });
});
