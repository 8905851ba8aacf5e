// A process of Neutron's on the driver's socket, for tests: it greets, calls, and answers requests for rows.
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { protocolVersion, type Role } from '../wire/peer.ts';

export type NeutronProcess = {
  /** Resolves to the result. Rejects with an Error whose `code` the driver gave. */
  call(method: string, params: unknown): Promise<unknown>;
  /** Ends the connection like that of a killed process. */
  die(): void;
};

/** Connects to the driver. Resolves when the driver has greeted it. */
export async function neutronProcess(
  socketPath: string,
  role: Role,
  pid: number,
  answer: (method: string, params: unknown) => unknown = () => Promise.reject(new Error('not asked for')),
): Promise<NeutronProcess> {
  const socket = connect(socketPath);
  const greeted = Promise.withResolvers<void>();
  const calls = new Map<number, PromiseWithResolvers<unknown>>();
  let last = 0;
  const say = (message: object): void => void socket.write(`${JSON.stringify(message)}\n`);
  socket.on('error', greeted.reject);
  createInterface({ input: socket }).on('line', async (line) => {
    const message = JSON.parse(line);
    if (message.hello) greeted.resolve();
    else if ('call' in message) {
      try {
        say({ reply: message.call, result: await answer(message.method, message.params) });
      } catch (error) {
        say({ reply: message.call, error: { code: 'Refused', message: String(error) } });
      }
    } else {
      const call = calls.get(message.reply);
      if (message.error) call?.reject(Object.assign(new Error(message.error.message), { code: message.error.code }));
      else call?.resolve(message.result);
    }
  });
  say({ hello: { protocol: protocolVersion, role, pid } });
  await greeted.promise;
  return {
    call(method, params) {
      last += 1;
      const call = Promise.withResolvers<unknown>();
      calls.set(last, call);
      say({ call: last, method, params });
      return call.promise;
    },
    die: () => void socket.destroy(),
  };
}
