// calico-resync: makes the running calico-neutron-driver compare all of etcd with all of Neutron and repair differences, and prints a summary as JSON.
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { inForce, runExecutable, StartError, silentLog } from '@calico-openstack/agent';
import { defaultConfigFiles, readOptions } from '../option-table.ts';
import { protocolVersion } from '../wire/peer.ts';

await runExecutable({
  name: 'calico-resync',
  description: "Compares Calico's datastore with Neutron's database, repairs what differs, and prints a summary as JSON.",
  defaultConfigFiles,
  readOptions,
  start: async (configFiles) => {
    const summary = await ask(inForce(readOptions(configFiles)).neutron_driver_socket);
    process.stdout.write(`${JSON.stringify(summary, null, 2)}\n`);
    process.exitCode = (summary as { ok?: boolean }).ok === true ? 0 : 1;
    process.exit();
    return { log: silentLog(), close: async () => {} };
  },
});

async function ask(socketPath: string): Promise<unknown> {
  const socket = connect(socketPath);
  const failed = new Promise<never>((_, reject) => {
    socket.once('error', (error) =>
      reject(new StartError('DAEMON_UNAVAILABLE', `cannot reach calico-neutron-driver at ${socketPath}: ${error.message}; start it first`)),
    );
    socket.once('close', () => reject(new StartError('DAEMON_UNAVAILABLE', `calico-neutron-driver closed the connection at ${socketPath}; see its log`)));
  });
  const send = (message: object): boolean => socket.write(`${JSON.stringify(message)}\n`);
  const reply = (async () => {
    send({ hello: { protocol: protocolVersion, role: 'tool', pid: process.pid } });
    for await (const line of createInterface({ input: socket })) {
      const message = JSON.parse(line) as { hello?: unknown; error?: { code: string; message: string }; result?: unknown };
      if (message.error) throw new StartError(message.error.code, message.error.message);
      if (message.hello) send({ call: 1, method: 'resync', params: {} });
      else return message.result;
    }
    return failed;
  })();
  return Promise.race([reply, failed]);
}
