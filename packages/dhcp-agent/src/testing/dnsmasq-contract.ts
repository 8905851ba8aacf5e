// The contract of Dnsmasq's handling of its files, on which `createDnsmasqServer` decides when a reload is needed. Both the fake and the real Dnsmasq are tested against it.
import type { IpAddress } from '@calico-openstack/addresses';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { hostEntryOf, printHost, printOptions } from '../dnsmasq/files.ts';
import type { Dnsmasq } from '../dnsmasq/server.ts';
import { servePort } from '../service/serve.ts';
import type { Ipv4Service } from '../service/service.ts';
import { facts, serviceOptions, subnet } from './facts.ts';

export type Told = { readonly address: IpAddress; readonly dns: string | undefined; readonly routes: string | undefined };

export type DnsmasqWorld = {
  readonly dnsmasq: Dnsmasq;
  /** Makes a whole exchange as a new client on the tap; undefined when there is no answer, for which `impatiently` waits some seconds only. */
  ask(tap: string, mac: string, impatiently?: boolean): Promise<Told | undefined>;
  /** Resolves when Dnsmasq has processed all requests. */
  settled(): Promise<void>;
  close(): Promise<void>;
};

export const contractTaps = ['tap00000001-aa', 'tap00000002-aa'] as const;
export const contractMacs = ['fa:16:3e:00:00:01', 'fa:16:3e:00:00:02'] as const;
/** The server addresses on the contract's taps. */
export const contractServerAddresses = ['10.65.0.1/32'] as const;

export function dnsmasqContract(open: () => Promise<DnsmasqWorld>): void {
  describe('Dnsmasq', () => {
    let world: DnsmasqWorld;
    beforeEach(async () => {
      world = await open();
    });
    afterEach(() => world.close());

    const [tap1, tap2] = contractTaps;
    const [mac1, mac2] = contractMacs;
    const addressAt = (last: number): string => `10.65.0.${last}`;
    const dnsAt = (last: number): string => `192.0.2.${last}`;

    function serviceAt(last: number, dns: number, routes = false): Ipv4Service {
      const { service } = servePort(
        facts({
          addresses: [addressAt(last)],
          subnets: [subnet('10.65.0.0/24', { gatewayIp: '10.65.0.1', dnsServers: [dnsAt(dns)], routes: routes ? { '10.99.0.0/16': '10.65.0.7' } : {} })],
        }),
        serviceOptions,
      );
      return service!.ipv4!;
    }
    const write = (tap: string, mac: string, service: Ipv4Service, former: readonly string[] = []): void =>
      world.dnsmasq.writeFiles(tap, { host: printHost(hostEntryOf(tap, mac, service, former)), options: printOptions(tap, service) });
    const reload = async (): Promise<void> => {
      world.dnsmasq.reload();
      await world.settled();
    };

    test('a new file is served at once', async () => {
      write(tap1, mac1, serviceAt(11, 1));
      expect(await world.ask(tap1, mac1)).toMatchObject({ address: addressAt(11), dns: dnsAt(1) });
      await expect.poll(() => world.dnsmasq.leases(), { timeout: 60_000 }).toMatchObject([{ address: addressAt(11) }]); // Dnsmasq writes the lease after the answer
      expect([...world.dnsmasq.readFiles().keys()]).toEqual([tap1]);
    });

    test('a changed file’s options count at once, but an option that it has no longer stays until a reload', async () => {
      write(tap1, mac1, serviceAt(11, 1, true));
      expect(await world.ask(tap1, mac1)).toMatchObject({ dns: dnsAt(1), routes: expect.stringContaining('10.99.0.0/16') });
      write(tap1, mac1, serviceAt(11, 2));
      expect(await world.ask(tap1, mac1)).toMatchObject({ dns: dnsAt(2), routes: expect.stringContaining('10.99.0.0/16') });
      await reload();
      expect(await world.ask(tap1, mac1)).toMatchObject({ dns: dnsAt(2), routes: undefined });
    });

    test('a removed file is served until a reload', async () => {
      write(tap1, mac1, serviceAt(11, 1));
      expect((await world.ask(tap1, mac1))?.address).toBe(addressAt(11));
      world.dnsmasq.removeFiles(tap1);
      expect((await world.ask(tap1, mac1))?.address).toBe(addressAt(11));
      await reload();
      expect(await world.ask(tap1, mac1, true)).toBeUndefined();
    });

    test('an address that was leased to a port that is gone is refused to the next one, but for what is done about that', async () => {
      write(tap1, mac1, serviceAt(11, 1));
      expect((await world.ask(tap1, mac1))?.address).toBe(addressAt(11));
      world.dnsmasq.removeFiles(tap1);
      write(tap2, mac2, serviceAt(11, 2));
      await reload();
      expect(await world.ask(tap2, mac2, true)).toBeUndefined();
      write(tap2, mac2, serviceAt(11, 2), [mac1]);
      await reload();
      expect((await world.ask(tap2, mac2))?.address).toBe(addressAt(11));
    });

    test('a host’s line is refused while another in memory has its address', async () => {
      write(tap1, mac1, serviceAt(11, 1));
      write(tap2, mac2, serviceAt(12, 1));
      expect((await world.ask(tap2, mac2))?.address).toBe(addressAt(12));
      world.dnsmasq.removeFiles(tap1);
      write(tap2, mac2, serviceAt(11, 1));
      expect((await world.ask(tap2, mac2))?.address).toBe(addressAt(12));
      await reload();
      expect((await world.ask(tap2, mac2))?.address).toBe(addressAt(11));
    });
  });
}
