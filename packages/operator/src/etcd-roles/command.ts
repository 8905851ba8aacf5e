// Implements `calico-openstack etcd-roles`, which gives each part of each host a user in etcd with the least rights that it needs.
import { readFileSync } from 'node:fs';
import { fileReason, StartError } from '@calico-openstack/agent/errors';
import { type EtcdPart, etcdParts } from '@calico-openstack/datamodel';
import type { EtcdOptions } from '@calico-openstack/etcd';
import { connectEtcdUsers } from '@calico-openstack/etcd/users';
import { Command, Option } from 'commander';
import { applyChanges, readPresent } from './apply.ts';
import { etcdctlCommands } from './etcdctl.ts';
import { passwordIn, passwordsIn } from './passwords.ts';
import { type Change, nothingPresent, planChanges, sentenceOf } from './plan.ts';
import { wantedUsers } from './wanted.ts';

type Options = {
  readonly host?: readonly string[];
  readonly hostsFile?: string;
  readonly region?: string;
  readonly part?: readonly EtcdPart[];
  readonly removeHostsGone?: true;
  readonly passwords?: string;
  readonly apply?: true;
  readonly endpoints?: string;
  readonly cacert?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly user?: string;
  readonly passwordFile?: string;
};

/**
 * The command for commander. Its action rejects with StartError or EtcdError.
 * @param print called with each line of output
 */
export const etcdRolesCommand = (print: (line: string) => void): Command =>
  new Command('etcd-roles')
    .description(
      'Users, roles and least rights in etcd for each part and host. Prints the etcdctl commands that make them; with --endpoints only those for what etcd lacks; with --apply makes them itself.',
    )
    .option('--host <names...>', 'compute hosts, as Felix, the DHCP agent and the BIRD agent name them')
    .option('--hosts-file <file>', 'compute hosts, one a line; - is standard input')
    .option('--region <name>', "the parts' openstack_region, where they have one")
    .addOption(new Option('--part <names...>', 'only these parts').choices(etcdParts))
    .option('--remove-hosts-gone', 'BIRD agents may remove the Nodes of other hosts (RemoveHostsGoneDays)')
    .option(
      '--passwords <directory>',
      'users have passwords, a file each in this directory; missing ones are made. Without it they are known by certificates, whose common name is the user’s',
    )
    .option('--apply', 'makes what is missing, takes away what is too much, and says what it changed; may be run again at any time')
    .addOption(new Option('--endpoints <urls>', 'etcd, separated by commas').env('ETCDCTL_ENDPOINTS'))
    .addOption(new Option('--cacert <file>', "who has signed etcd's certificate").env('ETCDCTL_CACERT'))
    .addOption(new Option('--cert <file>', "the administrator's certificate").env('ETCDCTL_CERT'))
    .addOption(new Option('--key <file>', "the certificate's key").env('ETCDCTL_KEY'))
    .option('--user <name>', "the administrator's name, where etcd asks for a password: root")
    .option('--password-file <file>', "a file that holds the administrator's password and that only its owner may read")
    .action((options: Options) => etcdRoles(options, print));

/** @throws StartError, EtcdError */
async function etcdRoles(options: Options, print: (line: string) => void): Promise<void> {
  const parts = options.part ?? etcdParts;
  const hosts = [...(options.host ?? []), ...(options.hostsFile === undefined ? [] : hostsIn(options.hostsFile))];
  if (hosts.length === 0 && parts.some((part) => part !== 'calico-neutron-driver'))
    throw new StartError('HOSTS_MISSING', 'no compute host is given: name each with --host or in --hosts-file, or ask for --part calico-neutron-driver alone');
  const wanted = wantedUsers({ hosts, region: options.region, parts, removeHostsGone: options.removeHostsGone ?? false });
  const passwords = options.passwords === undefined ? undefined : passwordsIn(options.passwords);
  const isPasswordNew = (user: string): boolean => passwords?.isNew(user) ?? false;
  if (options.endpoints === undefined && !options.apply) {
    return printCommands(planChanges(wanted, nothingPresent, isPasswordNew), options.passwords, print);
  }
  const etcd = connectEtcdUsers(connectionOptions(options));
  try {
    const changes = planChanges(wanted, await readPresent(etcd, wanted), isPasswordNew);
    if (!options.apply) return printCommands(changes, options.passwords, print);
    await applyChanges(etcd, changes, passwords, (change) => print(sentenceOf(change)));
    print(changes.length === 0 ? `nothing to change: ${wanted.length} users are as they should be` : `${changes.length} changes for ${wanted.length} users`);
    if (!(await etcd.enforced()))
      print(
        'etcd does not ask who somebody is: whoever reaches it may do everything. When each part has its user, add a user root and run: etcdctl auth enable',
      );
  } finally {
    etcd.close();
  }
}

function printCommands(changes: readonly Change[], passwordDirectory: string | undefined, print: (line: string) => void): void {
  for (const line of etcdctlCommands(changes, passwordDirectory)) print(line);
}

function connectionOptions({ endpoints = 'http://127.0.0.1:2379', cacert, cert, key, user, passwordFile }: Options): EtcdOptions {
  if ((user === undefined) !== (passwordFile === undefined))
    throw new StartError('ADMINISTRATOR_INCOMPLETE', 'an administrator with a password needs both --user and --password-file');
  return {
    endpoints: endpoints.split(',').map((endpoint) => (endpoint.includes('://') ? endpoint : `${cacert === undefined ? 'http' : 'https'}://${endpoint}`)),
    ...(cacert !== undefined && { caFile: cacert }),
    ...(cert !== undefined && { certFile: cert }),
    ...(key !== undefined && { keyFile: key }),
    ...(user !== undefined && { username: user }),
    ...(passwordFile !== undefined && { password: administratorPassword(passwordFile) }),
  };
}

function administratorPassword(file: string): string {
  try {
    return passwordIn(file);
  } catch (error) {
    if (error instanceof StartError) throw error;
    throw new StartError('PASSWORDS_UNUSABLE', `cannot read the password ${file}: ${fileReason(error)}`, { cause: error });
  }
}

function hostsIn(file: string): readonly string[] {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8')
      .split('\n')
      .map((line) => line.replace(/#.*/, '').trim())
      .filter((line) => line !== '');
  } catch (error) {
    throw new StartError('HOSTS_UNREADABLE', `cannot read the hosts of ${file}: ${fileReason(error)}`, { cause: error });
  }
}
