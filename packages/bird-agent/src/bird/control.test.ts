import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { connectBird, createReplyParser } from './control.ts';
import { configure, protocols, runningRevision } from './daemon.ts';

const said = '0001 BIRD 2.0.12 ready.\n0002-Reading configuration from /etc/bird/bird.conf\n0003 Reconfigured\n1002-a BGP\n b BGP\n0000 \n';

test('an answer ends with the line whose code is followed by a blank; further lines of a code may leave it out', () => {
  expect(createReplyParser()(said)).toEqual([
    { code: 1, lines: [{ code: 1, text: 'BIRD 2.0.12 ready.' }] },
    {
      code: 3,
      lines: [
        { code: 2, text: 'Reading configuration from /etc/bird/bird.conf' },
        { code: 3, text: 'Reconfigured' },
      ],
    },
    {
      code: 0,
      lines: [
        { code: 1002, text: 'a BGP' },
        { code: 1002, text: 'b BGP' },
        { code: 0, text: '' },
      ],
    },
  ]);
});

test('however the text is cut, the answers are the same', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(said.length)), (cuts) => {
      const at = [0, ...cuts.sort((a, b) => a - b), said.length];
      const parse = createReplyParser();
      expect(at.slice(1).flatMap((end, index) => parse(said.slice(at[index], end)))).toEqual(createReplyParser()(said));
    }),
  );
});

test.each(['hello\n', ' more\n', '12 short\n'])('%j is no answer', (text) => expect(() => createReplyParser()(text)).toThrow('which is no answer'));

describe('at a socket', () => {
  let directory: string;
  let path: string;
  let server: ReturnType<typeof createServer>;
  const clients = new Set<Socket>();
  const answers = new Map<string, string>();

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'bird-control-'));
    path = join(directory, 'bird.ctl');
    answers.clear();
    server = createServer((socket) => {
      clients.add(socket);
      socket.write('0001 BIRD 2.0.12 ready.\n');
      socket.on('error', () => undefined);
      socket.on('data', (command) => {
        const answer = answers.get(command.toString().trim());
        if (answer !== undefined) socket.write(answer);
      });
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
  });
  afterEach(async () => {
    vi.useRealTimers();
    for (const socket of clients) socket.destroy();
    clients.clear();
    await new Promise((resolve) => server.close(resolve));
    rmSync(directory, { recursive: true });
  });

  test.each([
    ['0002-Reading configuration from /x\n0003 Reconfigured\n', { ok: true, file: '/x' }],
    ['0002-Reading configuration from /x\n0004 Reconfiguration in progress\n', { ok: true, file: '/x' }],
    ['0002-Reading configuration from /x\n0005 Reconfiguration already in progress, queueing new config\n', { ok: true, file: '/x' }],
    ['0002-Reading configuration from /x\n8002 /x:20:1 syntax error\n', { ok: false, reason: '/x:20:1 syntax error', file: '/x' }],
  ])('configure answered by %j', async (answer, expected) => {
    answers.set('configure', answer);
    const control = await connectBird(path, 10_000);
    expect(await configure(control)).toEqual(expected);
    control.close();
  });
  test('an answer to configure that is not known is an error, not a success', async () => {
    answers.set('configure', '0006 Reconfiguration ignored, shutting down\n');
    const control = await connectBird(path, 10_000);
    await expect(configure(control)).rejects.toMatchObject({ code: 'BIRD_PROTOCOL' });
    control.close();
  });
  test.each([
    ['0023 abc\n', 'abc'],
    ['9001 syntax error, unexpected CF_SYM_UNDEFINED\n', undefined],
  ])('the running revision, answered by %j, is %s', async (answer, expected) => {
    answers.set('eval calico_revision', answer);
    const control = await connectBird(path, 10_000);
    expect(await runningRevision(control)).toBe(expected);
    control.close();
  });
  test('protocols are read with their state and last words', async () => {
    answers.set(
      'show protocols',
      [
        '2002-Name       Proto      Table      State  Since         Info',
        '1002-calico_kernel4 Kernel     master4    up     14:05:35.112  ',
        ' mesh4-h2   BGP        ---        up     14:05:36.080  Established   ',
        ' peer4-tor  BGP        ---        start  2026-11-24    Active        Socket: Network is unreachable',
        '0000 \n',
      ].join('\n'),
    );
    const control = await connectBird(path, 10_000);
    expect(await protocols(control)).toEqual([
      { name: 'calico_kernel4', type: 'Kernel', state: 'up', since: '14:05:35.112', detail: '' },
      { name: 'mesh4-h2', type: 'BGP', state: 'up', since: '14:05:36.080', detail: 'Established' },
      { name: 'peer4-tor', type: 'BGP', state: 'start', since: '2026-11-24', detail: 'Active        Socket: Network is unreachable' },
    ]);
    control.close();
  });
  test('nobody there is told as such', async () => {
    await expect(connectBird(join(directory, 'nobody.ctl'), 1000)).rejects.toMatchObject({ code: 'BIRD_AWAY' });
  });
  test('who says nothing is not waited for', async () => {
    const control = await connectBird(path, 10_000);
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const asked = expect(control.ask('configure')).rejects.toMatchObject({ code: 'BIRD_SILENT' });
    vi.advanceTimersByTime(10_000);
    await asked;
    await control.closed;
  });
  test('the end of the connection ends what is waited for, and is told', async () => {
    const control = await connectBird(path, 10_000);
    const asked = control.ask('configure');
    for (const socket of clients) socket.destroy();
    await expect(asked).rejects.toMatchObject({ code: 'BIRD_AWAY' });
    await control.closed;
    await expect(control.ask('configure')).rejects.toMatchObject({ code: 'BIRD_AWAY' });
  });
  test('a command is one line', async () => {
    const control = await connectBird(path, 10_000);
    expect(() => control.ask('eval 1\ndown')).toThrow(RangeError);
    control.close();
  });
});
