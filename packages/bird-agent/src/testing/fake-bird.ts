// A BIRD in memory for tests, with its file and its clients. It records the questions, and answers as the test says.
import type { BirdHost } from '../apply.ts';
import { type BirdControl, BirdError, type Reply } from '../bird/control.ts';
import type { ConfigurationFile } from '../bird/file.ts';
import { textOf } from '../bird/print.ts';

export type FakeBird = ReturnType<typeof fakeBird>;

/** Creates a fake BIRD. @param nowMs the clock that sets the file's time */
export function fakeBird(nowMs: () => number = () => 0) {
  const state = {
    file: undefined as string | undefined,
    writtenMs: undefined as number | undefined,
    running: undefined as string | undefined,
    away: false,
    readsOtherFile: false,
    /** Configurations that contain this text are refused by the check, and those with the next text by BIRD itself. */
    refusedByCheck: 'bad',
    refusedByBird: 'worse',
    /** The beginning of commands that this BIRD does not understand. */
    unknownCommand: undefined as string | undefined,
    busyTurns: 0,
    /** The commands so far other than `eval` and `show`. */
    asked: [] as string[],
    /** The questions so far that begin with `show`. */
    shown: [] as string[],
    /** The lines of answers, by the beginnings of the questions. */
    answers: new Map<string, readonly string[]>(),
    checked: 0,
    starts: [] as { readonly recover: boolean }[],
    startFails: false,
  };
  const clients = new Set<() => void>();
  const drafts = new Map<string, string>();
  const revisionIn = (text: string | undefined): string | undefined => /calico_revision = "(.*)"/.exec(text ?? '')?.[1];
  const reply = (code: number, ...texts: string[]): Reply => ({ code, lines: texts.map((text) => ({ code, text })) });

  function answer(command: string): Reply {
    if (command.startsWith('eval')) {
      if (state.busyTurns > 0) state.busyTurns -= 1;
      const revision = state.busyTurns > 0 ? 'old' : revisionIn(state.running);
      return revision === undefined ? reply(9001, 'syntax error') : reply(23, revision);
    }
    if (state.unknownCommand !== undefined && command.startsWith(state.unknownCommand)) return reply(9001, 'syntax error');
    if (command.startsWith('show')) {
      state.shown.push(command);
      const known = [...state.answers].find(([beginning]) => command.startsWith(beginning));
      return reply(0, ...(known?.[1] ?? []));
    }
    state.asked.push(command);
    if (command !== 'configure') return reply(0, '');
    if (state.file?.includes(state.refusedByBird)) return reply(8002, 'bird.conf:1:1 no');
    if (!state.readsOtherFile) state.running = state.file;
    return reply(3, 'Reconfigured');
  }

  const file: ConfigurationFile = {
    path: '/etc/bird/bird.conf',
    read: async () => (state.file === undefined ? undefined : { parts: [Buffer.from(state.file)] }),
    writtenMs: async () => state.writtenMs,
    confirmWritten: async (atMs) => {
      state.writtenMs = atMs;
    },
    async draft(content) {
      drafts.set('draft', textOf(content));
      return {
        path: 'draft',
        publish: async () => {
          state.file = drafts.get('draft');
          state.writtenMs = nowMs();
          drafts.clear();
        },
        discard: async () => drafts.clear(),
      };
    },
  };

  async function connect(): Promise<BirdControl> {
    if (state.away) throw new BirdError('BIRD_AWAY', 'no BIRD');
    const closed = Promise.withResolvers<void>();
    const close = (): void => {
      clients.delete(close);
      closed.resolve();
    };
    clients.add(close);
    return {
      ask: async (command) => {
        if (!clients.has(close)) throw new BirdError('BIRD_AWAY', 'BIRD has gone');
        return answer(command);
      },
      closed: closed.promise,
      close,
    };
  }

  return {
    state,
    drafts,
    file,
    connect,
    /** Whether BIRD could read the draft. */
    async check(path: string) {
      state.checked += 1;
      return drafts.get(path)?.includes(state.refusedByCheck) ? ({ ok: false, reason: 'line:1:1 no' } as const) : ({ ok: true } as const);
    },
    /** Starts BIRD with its present file. */
    async start(recover: boolean): Promise<void> {
      state.starts.push({ recover });
      if (state.startFails) throw new BirdError('BIRD_START_FAILED', 'bird did not start: address already in use');
      state.away = false;
      state.running = state.file;
    },
    /** Kills BIRD: the connections of its clients end. */
    die(): void {
      state.away = true;
      state.running = undefined;
      for (const close of [...clients]) close();
    },
    get connections(): number {
      return clients.size;
    },
    get host(): BirdHost {
      return { ...file, check: (path) => this.check(path), control: connect, pause: async () => undefined };
    },
  };
}
