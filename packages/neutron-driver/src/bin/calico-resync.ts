// calico-resync: compares etcd with Neutron, repairs differences, and prints a summary as JSON. Options and exit codes are those of upstream's calico-resync.
// The running calico-neutron-driver does the work, because it serves live calls at the same time; without one, this process does.
import { writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { inForce, neutronDefaults, runExecutable, StartError, silentLog, standardErrorLog } from '@calico-openstack/agent';
import { driverOptions, readOptions } from '../option-table.ts';
import type { ResyncProgress } from '../resync.ts';
import { resyncAlone } from '../resync-alone.ts';
import { parseRequest } from '../resync-scope.ts';
import { protocolVersion } from '../wire/peer.ts';

type Given = {
  readonly network?: readonly string[];
  readonly subnet?: readonly string[];
  readonly port?: readonly string[];
  readonly securityGroup?: readonly string[];
  readonly includeSgsForPorts?: boolean;
  readonly dryRun?: boolean;
  readonly deep?: boolean;
  readonly quiet?: boolean;
  readonly output?: string;
};

const progressEveryMs = 1000;

await runExecutable({
  name: 'calico-resync',
  description: "Compares Calico's datastore with Neutron's database, repairs what differs, and prints a summary as JSON.",
  ...neutronDefaults,
  readOptions,
  more: [
    { flags: '--network <id>', help: "compare only this network's subnets and ports; may be given several times, as may the next three", repeatable: true },
    { flags: '--subnet <id>', help: 'compare only this subnet and the ports with addresses of it', repeatable: true },
    { flags: '--port <id>', help: 'compare only this port', repeatable: true },
    { flags: '--security-group <id>', help: 'compare only this security group', repeatable: true },
    { flags: '--include-sgs-for-ports', help: "compare the ports' security groups too" },
    { flags: '--dry-run', help: 'write nothing, and count what differs' },
    { flags: '--deep', help: "read all ports in depth, also those whose revisions have not changed since the daemon's last comparison" },
    { flags: '--quiet', help: 'do not print the progress on standard error' },
    { flags: '-o, --output <file>', help: 'write the summary to this file instead of standard output' },
  ],
  start: async (configFiles, given) => {
    const { network, subnet, port, securityGroup, includeSgsForPorts = false, dryRun = false, deep = false, quiet = false, output }: Given = given;
    const scope = { networks: network, subnets: subnet, ports: port, security_groups: securityGroup, include_sgs_for_ports: includeSgsForPorts };
    const options = driverOptions(inForce(readOptions(configFiles)), configFiles);
    const request = { ...scope, dry_run: dryRun, deep, progress: !quiet };
    const onProgress = quiet ? () => {} : progressPrinter();
    const daemon = await reach(options.socketPath);
    const summary = daemon ? await ask(daemon, options.socketPath, request, onProgress) : await alone();
    const text = `${JSON.stringify(summary, null, 2)}\n`;
    if (output === undefined) process.stdout.write(text);
    else writeFileSync(output, text);
    process.exitCode = (summary as { ok?: boolean }).ok === true ? 0 : 1;
    process.exit();
    return { log: silentLog(), close: async () => {} };

    function alone(): Promise<unknown> {
      if (!quiet) process.stderr.write(`no calico-neutron-driver listens at ${options.socketPath}: this process compares by itself\n`);
      return resyncAlone(options, parseRequest(request)!.scope, { dryRun, onProgress }, standardErrorLog('calico-resync', 'WARNING'));
    }
  },
});

/** Prints a line a second at most, and one for each new phase. */
function progressPrinter(): (progress: ResyncProgress) => void {
  let [phase, printedMs] = ['', 0];
  return (progress) => {
    if (progress.phase === phase && Date.now() - printedMs < progressEveryMs) return;
    phase = progress.phase;
    printedMs = Date.now();
    const { neutron_items, etcd_items, created, updated, deleted, failed } = progress;
    const differing = `${created} created, ${updated} updated, ${deleted} deleted, ${failed} failed`;
    process.stderr.write(`${phase}: ${neutron_items} of Neutron compared with ${etcd_items} of etcd; ${differing}\n`);
  };
}

/** Connects to the daemon; undefined when no daemon listens. @throws StartError when the connection fails for another reason, such as missing rights */
function reach(socketPath: string): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    socket.once('connect', () => resolve(socket));
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') resolve(undefined);
      else reject(new StartError('DAEMON_UNAVAILABLE', `cannot reach calico-neutron-driver at ${socketPath}: ${error.message}`));
    });
  });
}

type Message = {
  readonly hello?: unknown;
  readonly call?: number;
  readonly params?: unknown;
  readonly error?: { readonly code: string; readonly message: string };
  readonly result?: unknown;
};

async function ask(socket: Socket, socketPath: string, request: object, onProgress: (progress: ResyncProgress) => void): Promise<unknown> {
  const send = (message: object): boolean => socket.write(`${JSON.stringify(message)}\n`);
  send({ hello: { protocol: protocolVersion, role: 'tool', pid: process.pid } });
  for await (const line of createInterface({ input: socket })) {
    const message = JSON.parse(line) as Message;
    if (message.error) throw new StartError(message.error.code, message.error.message);
    if (message.hello) send({ call: 1, method: 'resync', params: request });
    else if (message.call !== undefined) {
      onProgress(message.params as ResyncProgress);
      send({ reply: message.call, result: null });
    } else return message.result;
  }
  throw new StartError('DAEMON_UNAVAILABLE', `calico-neutron-driver closed the connection at ${socketPath}; see its log`);
}
