// calico-resync: makes the running calico-neutron-driver compare etcd with Neutron and repair differences, and prints a summary as JSON.
// Options and exit codes are those of upstream's calico-resync.
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { inForce, runExecutable, StartError, silentLog } from '@calico-openstack/agent';
import { defaultConfigDirectories, defaultConfigFiles, readOptions } from '../option-table.ts';
import { protocolVersion } from '../wire/peer.ts';

type Given = {
  readonly network?: readonly string[];
  readonly subnet?: readonly string[];
  readonly port?: readonly string[];
  readonly securityGroup?: readonly string[];
  readonly includeSgsForPorts?: boolean;
  readonly output?: string;
};

await runExecutable({
  name: 'calico-resync',
  description: "Compares Calico's datastore with Neutron's database, repairs what differs, and prints a summary as JSON.",
  defaultConfigFiles,
  defaultConfigDirectories,
  readOptions,
  more: [
    { flags: '--network <id>', help: "compare only this network's subnets and ports; may be given several times, as may the next three", repeatable: true },
    { flags: '--subnet <id>', help: 'compare only this subnet and the ports with addresses of it', repeatable: true },
    { flags: '--port <id>', help: 'compare only this port', repeatable: true },
    { flags: '--security-group <id>', help: 'compare only this security group', repeatable: true },
    { flags: '--include-sgs-for-ports', help: "compare the ports' security groups too" },
    { flags: '-o, --output <file>', help: 'write the summary to this file instead of standard output' },
  ],
  start: async (configFiles, given) => {
    const { network, subnet, port, securityGroup, includeSgsForPorts = false, output }: Given = given;
    const scope = { networks: network, subnets: subnet, ports: port, security_groups: securityGroup, include_sgs_for_ports: includeSgsForPorts };
    const summary = await ask(inForce(readOptions(configFiles)).neutron_driver_socket, scope);
    const text = `${JSON.stringify(summary, null, 2)}\n`;
    if (output === undefined) process.stdout.write(text);
    else writeFileSync(output, text);
    process.exitCode = (summary as { ok?: boolean }).ok === true ? 0 : 1;
    process.exit();
    return { log: silentLog(), close: async () => {} };
  },
});

async function ask(socketPath: string, scope: object): Promise<unknown> {
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
      if (message.hello) send({ call: 1, method: 'resync', params: scope });
      else return message.result;
    }
    return failed;
  })();
  return Promise.race([reply, failed]);
}
