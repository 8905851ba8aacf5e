// Shows how to look around in a lab that is up.
import type { Lab } from './lab.ts';
import { credentialsFile } from './openstack.ts';

/** Lines with commands to paste, and what each of them shows. */
export function exploreLines(lab: Lab): string[] {
  const { plan, etcd, hosts } = lab;
  const inside = (namespace: string): string => `ip netns exec ${namespace}`;
  const [host] = hosts;
  const lines = [
    ['OpenStack', `. ${credentialsFile(lab.directory)}; ${inside(plan.control.namespace)} openstack port list`],
    ['etcd', `${inside(plan.control.namespace)} etcdctl --endpoints ${etcd.endpoint} get --prefix /calico`],
    ...(host === undefined
      ? []
      : [
          ['a host', `${inside(host.namespace)} bash`],
          ['its rules', `${inside(host.namespace)} nft list ruleset`],
          ['its routes', `${inside(host.namespace)} ip route`],
          ['its BIRD', `birdc -s ${host.bird.controlSocket} show route`],
        ]),
    ['all files', `ls ${lab.directory}/*`],
    ['picture', `npm run lab -- status --prefix ${plan.prefix}`],
    ['the end', `npm run lab -- down --prefix ${plan.prefix}`],
  ];
  return lines.map(([what = '', command = '']) => `  ${what.padEnd(12)}${command}`);
}
