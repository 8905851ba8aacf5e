import { expect, test } from 'vitest';
import { followAddresses } from './resolve.ts';

test('addresses in URLs are told at once, names when they are resolved, and again when they have others; what is known stays while nobody answers', async () => {
  const told: (readonly string[])[] = [];
  const answers: (readonly string[] | Error)[] = [['192.0.2.1', '2001:db8::1'], new Error('ESERVFAIL'), ['192.0.2.2']];
  const follower = followAddresses(
    ['http://10.0.0.1:2379', 'https://[2001:db8::9]:2379', 'http://etcd.example:2379', 'no url'],
    (addresses) => told.push(addresses),
    {
      everyMs: 5,
      async resolve(name) {
        expect(name).toBe('etcd.example');
        const answer = answers.length > 1 ? answers.shift()! : answers[0]!;
        if (answer instanceof Error) throw answer;
        return answer;
      },
    },
  );
  const written = ['10.0.0.1', '2001:db8::9'];
  expect(told).toEqual([written]);
  await expect.poll(() => told.length).toBeGreaterThanOrEqual(4);
  follower.close();
  expect(told.slice(0, 4)).toEqual([written, [...written, '192.0.2.1', '2001:db8::1'], [...written, '192.0.2.1', '2001:db8::1'], [...written, '192.0.2.2']]);
});
