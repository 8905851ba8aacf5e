// Tests the messages that an operator reads when the kernel refuses what this agent needs. The agents run without the right to it, in network namespaces of their own.
import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';

function complaint(capabilities: string, program: string): string {
  const words = ['--net', 'setpriv', '--bounding-set', capabilities, process.execPath, '--input-type=module-typescript', '-e', program];
  return spawnSync('unshare', words, { encoding: 'utf8', timeout: 300_000, cwd: import.meta.dirname }).stdout;
}
const told = (call: string): string => `try { ${call} } catch (error) { console.log(error.name, error.code, error.message); process.exit(0); }`;

test('without the right to install rules the agent does not start, and says what to do', () => {
  const path = JSON.stringify(`${import.meta.dirname}/guard.ts`);
  const said = complaint('-all,+net_raw', `import { openGuard } from ${path}; ${told('openGuard(undefined)')}`);
  expect(said).toMatch(/^StartError NFTABLES_REFUSED .*nothing is started without them.*EPERM.*Start this agent as root with CAP_NET_ADMIN/);
});

test('without the right to open packet sockets the agent does not start, and says what to do', () => {
  const path = JSON.stringify(`${import.meta.dirname}/../ipv6/responder.ts`);
  const said = complaint('-all,+net_admin', `import { openResponder } from ${path}; ${told('openResponder({})')}`);
  expect(said).toMatch(/^StartError PACKET_SOCKET_REFUSED .*EPERM; start this agent as root with CAP_NET_RAW/);
});
