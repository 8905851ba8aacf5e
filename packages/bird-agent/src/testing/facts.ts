// Facts for tests of the plan: two hosts of one rack, and anything that a test adds.
import type { Cidr, IpAddress } from '@calico-openstack/addresses';
import { decoded, refused } from '@calico-openstack/datamodel';
import type { Host, Lookups, Resources } from '../plan/facts.ts';
import { compileSelector } from '../selectors.ts';
import { createResourceStore } from '../store.ts';
import { bytes } from './bytes.ts';

export type Specs = {
  readonly [key: `${'nodes' | 'bgpconfigurations' | 'bgppeers' | 'bgpfilters' | 'ippools' | 'livemigrations' | 'workloadendpoints'}/${string}`]: unknown;
};

export const nodeSpec = (number: number, bgp: object = {}): object => ({
  bgp: { ipv4Address: `192.0.2.${number}/24`, ipv6Address: `2001:db8::${number}/64`, ...bgp },
});

/** Resources by `plural/name`. A value with labels is written `{ spec, labels }`. */
export function resourcesOf(specs: Specs): Resources {
  const store = createResourceStore({
    ownName: 'h1',
    onFault: (error) => {
      throw error;
    },
  });
  store.apply(
    Object.entries(specs).map(([key, value]) => {
      const { spec, labels } = value as { spec?: object; labels?: object };
      return { key: `/calico/resources/v3/projectcalico.org/${key}`, value: spec && labels ? bytes(spec, { labels }) : bytes(value), modRevision: 1 };
    }),
  );
  return store.resources;
}

export const host = (change: Partial<Host> = {}): Host => ({
  name: 'h1',
  routerId: undefined,
  networks: [],
  addresses: [],
  interfaceNetworks: [],
  datastoreAddresses: [],
  moving: [],
  workloadPrefixes: [],
  workloadInterfacePrefixes: ['cali', 'tap'],
  deviceRouteProtocol: 3,
  exportPrefixes: [] as readonly Cidr[],
  holdSeconds: 90,
  restartWaitSeconds: 15,
  mostRoutes: undefined,
  logFile: 'syslog',
  ...change,
});

/** Lookups with one password: key `tor` of secret `bgp`. */
export const lookups: Lookups = {
  selector: compileSelector,
  password: ({ name, key }) => (name === 'bgp' && key === 'tor' ? decoded('"s3cret"') : refused(`there is no ${key} in ${name}`)),
};

export const ip = (text: string): IpAddress => text as IpAddress;
