// calico-openstack COMMAND: the administrator's commands.
import { shownError } from '@calico-openstack/agent/errors';
import { version } from '@calico-openstack/agent/main';
import { Command, CommanderError } from 'commander';
import { etcdRolesCommand } from '../etcd-roles/command.ts';

const program = new Command('calico-openstack').description('Administers Calico for OpenStack.').version(version()).exitOverride();
program.addCommand(etcdRolesCommand((line) => void process.stdout.write(`${line}\n`)).copyInheritedSettings(program));

try {
  await program.parseAsync(process.argv);
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else {
    process.stderr.write(`calico-openstack: ${shownError(error)}\n`);
    process.exitCode = 1;
  }
}
