// For tests: what upstream's Felix leaves on a host, recorded from a real one and restored on a test's host.
// `leavings/` was recorded with upstream's source of 2026-08-22 (nft 1.0.6, Linux 6.18) after the agent had ended. The host had the endpoints one and two of `endpointNumber`, in the group
// `open`, which allows everything.
// To record again, as root: node packages/felix/src/testing/leavings.ts DIRECTORY nftables|iptables COMMAND…
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestHost } from './host.ts';

/** The modes in which upstream's Felix programs its rules. */
export const upstreamModes = ['nftables', 'iptables-legacy', 'iptables-nft'] as const;
/** One of upstream's modes. */
export type UpstreamMode = (typeof upstreamModes)[number];

const recorded = fileURLToPath(new URL('leavings', import.meta.url));

/** The files with the rules of a mode, and the commands that restore them. The order matters, because rules refer to ipsets. */
const parts: Readonly<Record<UpstreamMode, readonly (readonly [file: string, ...command: string[]])[]>> = {
  nftables: [['nftables.nft', 'nft', '-f', '-']],
  'iptables-legacy': [
    ['ipset.save', 'ipset', 'restore'],
    ['iptables.save', 'iptables-legacy-restore', '--noflush'],
    ['ip6tables.save', 'ip6tables-legacy-restore', '--noflush'],
  ],
  'iptables-nft': [
    ['ipset.save', 'ipset', 'restore'],
    ['iptables.save', 'iptables-nft-restore', '--noflush'],
    ['ip6tables.save', 'ip6tables-nft-restore', '--noflush'],
  ],
};

/** Restores the rules of upstream's Felix on a host, as they are when it has ended. @param onFile called before each file is restored */
export async function leaveUpstreams(host: TestHost, mode: UpstreamMode, onFile: (file: string) => void = () => undefined): Promise<void> {
  for (const [file, ...command] of parts[mode]) {
    onFile(file);
    await host.exec('sh', '-c', `${command.join(' ')} < ${join(recorded, file)}`);
  }
}

/** Writes the rules of a host to files, without what differs between two recordings, and without the sentences in upstream's comments. */
export async function recordLeavings(host: TestHost, mode: 'nftables' | 'iptables', directory: string): Promise<void> {
  const listings =
    mode === 'nftables'
      ? [['nftables.nft', 'nft', 'list', 'ruleset']]
      : [
          ['ipset.save', 'ipset', 'save'],
          ['iptables.save', 'iptables-legacy-save'],
          ['ip6tables.save', 'ip6tables-legacy-save'],
        ];
  for (const [file = '', program = '', ...args] of listings) writeFileSync(join(directory, file), withoutChance(await host.exec(program, ...args)));
}

/** A listing without counters, seeds, link-local addresses and sentences. */
export const withoutChance = (listing: string): string =>
  listing
    .replaceAll(/counter packets \d+ bytes \d+ /g, '')
    .replaceAll(/\[\d+:\d+\]/g, '[0:0]')
    .replaceAll(/ (bucketsize|initval) \w+/g, '')
    .replaceAll(/"(cali:[\w-]{16});[^"]*"/g, '"$1;"')
    .replaceAll(/(--comment "cali:[\w-]{16}") -m comment --comment "[^"]*"/g, '$1')
    .split('\n')
    .filter((line) => !/^#|^add cali60this-host fe80|^\s+fe80::/.test(line))
    .join('\n')
    .replaceAll(/(\{ ::1),$/gm, '$1 }');

if (process.argv[1] === fileURLToPath(import.meta.url)) await recordFromCommand(process.argv.slice(2));

async function recordFromCommand([directory = '', mode = '', ...command]: readonly string[]): Promise<void> {
  const { asAdministrator, TestHost: Host } = await import('./host.ts');
  const { endpointNumber, securityGroup, tapOf, workloadEndpoint } = await import('./resources.ts');
  if ((mode !== 'nftables' && mode !== 'iptables') || command.length === 0) throw new Error('usage: leavings.ts DIRECTORY nftables|iptables COMMAND…');
  const host = await Host.open();
  try {
    const [one, two] = [await host.plug(endpointNumber(1)), await host.plug(endpointNumber(2))];
    await host.put(securityGroup('open', [{ action: 'Allow' }]), workloadEndpoint(one), workloadEndpoint(two));
    host.startAgent(command, { ...asAdministrator, FELIX_NFTABLESMODE: mode === 'nftables' ? 'Enabled' : 'Disabled', FELIX_IPTABLESBACKEND: 'Legacy' });
    await host.untilPasses(one, two, { protocol: 17, destinationPort: 7000 });
    // It has no neighbours for IPv6: guests answer for themselves, as these do not.
    for (const each of [one, two])
      await host.exec(
        'ip',
        'neigh',
        'replace',
        each.addresses.find((address) => address.includes(':'))!,
        'lladdr',
        each.mac,
        'dev',
        tapOf(each),
        'nud',
        'permanent',
      );
    for (const family of [4, 6] as const) await host.untilPasses(one, two, { protocol: 17, destinationPort: 7000 }, true, family);
    await host.stopAgent();
    await recordLeavings(host, mode, directory);
  } finally {
    await host.close();
  }
}
