import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, test } from 'vitest';
import { type NetlinkMonitor, openMonitor } from '../netlink/monitor.ts';
import { inNamespace } from '../netlink/namespace.ts';
import { type NetconfChange, watchNetconf } from './netconf.ts';
import { writeSysctl } from './sysctl.ts';

const namespace = `netconf-${process.pid}`;
let monitor: NetlinkMonitor;
const changes: NetconfChange[] = [];
let wanted: { readonly isIt: (change: NetconfChange) => boolean; readonly resolve: (change: NetconfChange) => void } | undefined;

beforeAll(() => {
  execFileSync('ip', ['netns', 'add', namespace]);
  execFileSync('ip', ['-n', namespace, 'link', 'add', 'tap1', 'type', 'ifb']);
  monitor = openMonitor(namespace);
  watchNetconf(
    monitor,
    (more) => {
      changes.push(...more);
      const found = wanted && changes.find(wanted.isIt);
      if (found) wanted?.resolve(found);
    },
    () => undefined,
  );
});
afterAll(() => {
  monitor.close();
  execFileSync('ip', ['netns', 'del', namespace]);
});

/** Writes a setting, and resolves with what the kernel reports that has all of `facts`. */
function reported(path: readonly string[], value: string, facts: Partial<NetconfChange>): Promise<NetconfChange> {
  changes.length = 0;
  return new Promise((resolve) => {
    wanted = { isIt: (change) => Object.entries(facts).every(([name, fact]) => change[name as keyof NetconfChange] === fact), resolve };
    inNamespace(namespace, () => writeSysctl(path, value));
  });
}

test('changes of forwarding, proxies and reverse-path filters are reported, of links and of all', async () => {
  const { index } = (JSON.parse(execFileSync('ip', ['-n', namespace, '-j', 'link', 'show', 'tap1'], { encoding: 'utf8' })) as [{ ifindex: number }]).map(
    ({ ifindex }) => ({ index: ifindex }),
  )[0]!;
  const of = (version: 4 | 6, link: string, name: string): readonly string[] => ['net', `ipv${version}`, 'conf', link, name];
  await reported(of(4, 'tap1', 'proxy_arp'), '1', { family: 4, link: index, proxy: 1 });
  await reported(of(4, 'tap1', 'rp_filter'), '2', { family: 4, link: index, rpFilter: 2 });
  await reported(of(6, 'tap1', 'proxy_ndp'), '1', { family: 6, link: index, proxy: 1 });
  await reported(['net', 'ipv4', 'ip_forward'], '1', { family: 4, link: 'all', forwarding: 1 });
  await reported(of(6, 'all', 'forwarding'), '1', { family: 6, link: 'all', forwarding: 1 });
  await reported(of(4, 'default', 'rp_filter'), '2', { family: 4, link: 'default', rpFilter: 2 });
});
