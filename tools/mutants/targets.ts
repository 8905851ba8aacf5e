// Lists the files that are mutated: the shells, which wait, retry and keep order, and the pure files, which decide. Each row is a group; `files` is a pattern below the project's root.
import { globSync } from 'node:fs';
import { join } from 'node:path';

/** The project's folder. */
export const root = join(import.meta.dirname, '../..');

/** A group of files to mutate. `files` is a pattern for paths below the project's folder. */
export type Target = { readonly kind: 'shell' | 'pure'; readonly files: string };

/** All groups of files that are mutated. */
export const targets: readonly Target[] = [
  { kind: 'shell', files: 'packages/agent/src/{backoff,clock,datastore,health,loop}.ts' },
  {
    kind: 'shell',
    files: 'packages/neutron-driver/src/{announcements,background,compaction,driver,history,resync,rows-process,sources,upkeep}.ts',
  },
  { kind: 'shell', files: 'packages/neutron-driver/src/status/{agents,elected,follow,port-loop}.ts' },
  { kind: 'shell', files: 'packages/neutron-driver/src/sync/{journal,journal-file,sync}.ts' },
  {
    kind: 'shell',
    files: 'packages/bird-agent/src/{application,apply,bird-keeper,core,datastore-state,departures,doubts,elsewhere,memory,problems,route-audit,trouble}.ts',
  },
  { kind: 'shell', files: 'packages/bird-agent/src/bird/connection.ts' },
  { kind: 'shell', files: 'packages/bird-agent/src/node/{keeper,register,registrar,removal}.ts' },
  { kind: 'shell', files: 'packages/dhcp-agent/src/{core,follow,port-server,problems,refusals,tap-addresses,taps}.ts' },
  { kind: 'shell', files: 'packages/dhcp-agent/src/{dnsmasq/{server,supervisor},ipv6/{ports,responder}}.ts' },
  { kind: 'shell', files: 'packages/dhcp-agent/src/guard/guard.ts' },
  {
    kind: 'shell',
    files: 'packages/felix/src/{comparisons,dataplane,devices,felix,felix-configuration,following,guests,missing-tables,notices,outputs,settings,stamping}.ts',
  },
  { kind: 'pure', files: 'packages/{datamodel,oracle,policy,render}/src/**/*.ts' },
  { kind: 'pure', files: 'packages/neutron-driver/src/{addressing/{audit,rules,screen,span},status/ports,sync/{change,plan},translate/*}.ts' },
  { kind: 'pure', files: 'packages/bird-agent/src/{kept,look-again,plan/*,bird/{filters,guards,print,text},resources/*}.ts' },
  {
    kind: 'pure',
    files: 'packages/dhcp-agent/src/{growing-pause,model,dnsmasq/{files,leases},guard/rules,ipv6/{message,advertisement,guest-messages},service/*}.ts',
  },
];

const isSource = (file: string): boolean => !/\.test\.ts$|\/testing\/|\/index\.ts$/.test(file);

/** The files of a row, below the project's root, in order. */
export const filesOf = ({ files }: Target): readonly string[] => globSync(files, { cwd: root }).filter(isSource).sort();
