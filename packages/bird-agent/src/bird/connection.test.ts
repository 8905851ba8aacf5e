import { expect, test } from 'vitest';
import { fakeBird } from '../testing/fake-bird.ts';
import { createBirdConnection } from './connection.ts';
import { BirdError } from './control.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function setUp(isStarter: boolean) {
  const bird = fakeBird();
  let gone = 0;
  const connection = createBirdConnection({
    connect: bird.connect,
    start: isStarter ? () => bird.start(false) : undefined,
    onGone: () => {
      gone += 1;
    },
  });
  return { bird, connection, gone: () => gone };
}

test('there is one connection for all who ask, until BIRD goes, which is told at once', async () => {
  const { bird, connection, gone } = setUp(false);
  expect(connection.up).toBe(false);
  expect(await connection.control()).toBe(await connection.control());
  expect([connection.up, bird.connections]).toEqual([true, 1]);
  bird.die();
  await turn();
  expect([connection.up, gone()]).toEqual([false, 1]);
  await expect(connection.control()).rejects.toMatchObject({ code: 'BIRD_AWAY' });
  bird.state.away = false;
  await connection.control();
  expect(connection.up).toBe(true);
});

test('a BIRD that is away is started where that is ours to do, and in no other case', async () => {
  const { bird, connection } = setUp(true);
  bird.state.away = true;
  await connection.control();
  expect(bird.state.starts).toHaveLength(1);
  bird.die();
  await turn();
  bird.state.startFails = true;
  await expect(connection.control()).rejects.toMatchObject({ code: 'BIRD_START_FAILED' });
  const silent = createBirdConnection({
    connect: () => Promise.reject(new BirdError('BIRD_SILENT', 'no greeting')),
    start: () => bird.start(false),
    onGone: () => undefined,
  });
  await expect(silent.control()).rejects.toMatchObject({ code: 'BIRD_SILENT' });
  expect(bird.state.starts).toHaveLength(2);
});

test('closing ends the connection, also one that is just being made, and says nothing of BIRD', async () => {
  const { bird, connection, gone } = setUp(false);
  await connection.control();
  connection.close();
  await turn();
  expect([bird.connections, gone()]).toEqual([0, 0]);
  const other = setUp(false);
  const asked = other.connection.control();
  other.connection.close();
  await expect(asked).rejects.toMatchObject({ code: 'BIRD_AWAY' });
  expect(other.bird.connections).toBe(0);
});
