import { execFileSync } from 'node:child_process';
import { openLinks } from '../links/netlink.ts';
import { inNamespace } from '../netlink/namespace.ts';
import { openQdiscs } from './netlink.ts';
import { qdiscsContract } from './testing/contract.ts';

const ip = (...args: readonly string[]): string => execFileSync('ip', args, { encoding: 'utf8' });

qdiscsContract(() => {
  const namespace = `qdisc-${process.pid}`;
  ip('netns', 'add', namespace);
  const links = inNamespace(namespace, () => openLinks());
  for (const name of ['1', '2']) ip('-n', namespace, 'link', 'add', `tap${name}`, 'up', 'type', 'veth', 'peer', 'name', `peer${name}`);
  links.refresh();
  return {
    links,
    open: () => inNamespace(namespace, openQdiscs),
    close() {
      links.close();
      ip('netns', 'del', namespace);
    },
  };
});
