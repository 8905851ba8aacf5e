// One connection to a Neutron process (neutron/README.md describes the protocol): both ends may call, and replies come in any order.
import type { Socket } from 'node:net';
import { CodedError } from '@calico-openstack/agent/errors';
import { parseJson } from '@calico-openstack/datamodel';
import { z } from 'zod';
import { createLineSplitter } from './lines.ts';

/** The version of the protocol. */
export const protocolVersion = 1;

/** The roles of the other end: `api` is a Neutron process that announces changes and answers requests for rows during a call, `rows` is a rows process, which answers at any time, `tool` is an operator's command. */
export const roles = ['api', 'rows', 'tool'] as const;
/** One of `roles`. */
export type Role = (typeof roles)[number];

const hello = z.object({ hello: z.object({ protocol: z.number(), role: z.enum(roles), pid: z.number() }) });
const failure = z.object({ code: z.string(), message: z.string() });
const message = z.union([
  z.object({ call: z.number(), method: z.string(), params: z.unknown() }),
  z.object({ reply: z.number(), error: failure }),
  z.object({ reply: z.number(), result: z.unknown() }),
]);

/** An error that the other end answered, or the lack of an answer. Its code is `PEER_GONE`, `PEER_TIMEOUT`, or the other end's own. */
export class WireError extends CodedError {}

/** An error with which a call is answered: the caller gets its code and message unchanged. */
export class Refusal extends CodedError {}

/** The other end of a connection. `call` rejects with WireError. */
export interface Peer {
  readonly role: Role;
  readonly pid: number;
  readonly gone: boolean;
  call(method: string, params: unknown, timeoutMs: number): Promise<unknown>;
  close(): void;
}

/** The callbacks of a connection. */
export type PeerEvents = {
  onReady(peer: Peer): void;
  /** Handles a call. Resolves to the result. A Refusal is sent to the caller, and any other error as INTERNAL. */
  onCall(peer: Peer, method: string, params: unknown): Promise<unknown>;
  onGone(peer: Peer): void;
  /** Called when the other end violates the protocol and was disconnected. */
  onMisbehaved(reason: string): void;
};

/** Serves an accepted connection: greets the other end, handles its calls, and matches replies to calls. */
// biome-ignore lint/complexity/noExcessiveLinesPerFunction: the two directions of one connection share its calls and its end
export function servePeer(socket: Socket, events: PeerEvents): void {
  const waiting = new Map<number, { resolve(result: unknown): void; reject(error: WireError): void; timer: NodeJS.Timeout }>();
  let calls = 0;
  let peer: (Peer & { gone: boolean }) | undefined;
  const send = (value: object): void => {
    if (!socket.destroyed) socket.write(`${JSON.stringify(value)}\n`);
  };
  const misbehaved = (reason: string): void => {
    if (socket.destroyed) return;
    send({ error: { code: 'PROTOCOL', message: reason } });
    socket.end();
    socket.destroySoon();
    events.onMisbehaved(reason);
  };

  function greet(line: unknown): void {
    const parsed = hello.safeParse(line);
    if (!parsed.success) {
      misbehaved('the first line is not a hello');
      return;
    }
    const { protocol, role, pid } = parsed.data.hello;
    if (protocol !== protocolVersion) {
      misbehaved(
        `the Neutron driver speaks version ${protocol} of the protocol, calico-neutron-driver version ${protocolVersion}: install both from one release`,
      );
      return;
    }
    peer = {
      role,
      pid,
      gone: false,
      call: (method, params, timeoutMs) =>
        new Promise((resolve, reject) => {
          if (socket.destroyed) return reject(new WireError('PEER_GONE', `the Neutron process ${pid} is gone`));
          calls += 1;
          const call = calls;
          const timer = setTimeout(() => {
            waiting.delete(call);
            reject(new WireError('PEER_TIMEOUT', `the Neutron process ${pid} did not answer ${method} within ${timeoutMs / 1000} s`));
          }, timeoutMs);
          waiting.set(call, { resolve, reject, timer });
          send({ call, method, params });
        }),
      close: () => socket.destroy(),
    };
    send({ hello: { protocol: protocolVersion } });
    events.onReady(peer);
  }

  async function answer(from: Peer, call: number, method: string, params: unknown): Promise<void> {
    try {
      send({ reply: call, result: (await events.onCall(from, method, params)) ?? null });
    } catch (error) {
      const code = error instanceof Refusal ? error.code : 'INTERNAL';
      send({ reply: call, error: { code, message: error instanceof Error ? error.message : String(error) } });
    }
  }

  function take(line: string): void {
    const json = parseJson(line);
    if (!json.ok) {
      misbehaved(`a line ${json.reason}`);
      return;
    }
    const { value } = json;
    if (!peer) {
      greet(value);
      return;
    }
    const parsed = message.safeParse(value);
    if (!parsed.success) {
      misbehaved('a line is neither a call nor a reply');
      return;
    }
    if ('call' in parsed.data) {
      void answer(peer, parsed.data.call, parsed.data.method, parsed.data.params);
      return;
    }
    const asked = waiting.get(parsed.data.reply);
    if (!asked) return; // the reply came too late
    waiting.delete(parsed.data.reply);
    clearTimeout(asked.timer);
    if ('error' in parsed.data) asked.reject(new WireError(parsed.data.error.code, parsed.data.error.message));
    else asked.resolve(parsed.data.result);
  }

  const split = createLineSplitter(take);
  socket.on('data', (piece: Buffer) => {
    try {
      split(piece);
    } catch (error) {
      misbehaved((error as Error).message);
    }
  });
  socket.on('error', () => {}); // 'close' follows, and is handled below
  socket.on('close', () => {
    for (const asked of waiting.values()) {
      clearTimeout(asked.timer);
      asked.reject(new WireError('PEER_GONE', `the Neutron process ${peer?.pid} went away without an answer`));
    }
    waiting.clear();
    if (peer) {
      peer.gone = true;
      events.onGone(peer);
    }
  });
}
