import { execFileSync } from 'node:child_process';
import { openLinks } from '../links/netlink.ts';
import { inNamespace } from '../netlink/namespace.ts';
import { openRoutes } from './netlink.ts';
import { type RoutesWorld, routesContract } from './testing/contract.ts';

let worlds = 0;

/** A namespace of its own for each. */
function openWorld(): RoutesWorld {
  const namespace = `routes-${process.pid}-${worlds++}`;
  execFileSync('ip', ['netns', 'add', namespace]);
  const links = inNamespace(namespace, () => openLinks());
  return {
    links,
    open: (scope) => inNamespace(namespace, () => openRoutes(scope)),
    close() {
      links.close();
      execFileSync('ip', ['netns', 'del', namespace]);
    },
  };
}

routesContract(openWorld);
