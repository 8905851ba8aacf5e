import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { servePort } from '../service/serve.ts';
import type { Ipv4Service } from '../service/service.ts';
import { facts, ip, serviceOptions, subnet } from '../testing/facts.ts';
import { fakeDnsmasq } from './fake.ts';
import { printOptions } from './files.ts';
import { createDnsmasqServer } from './server.ts';

const macOf = (port: number): string => `fa:16:3e:00:00:0${port}`;
const tapOf = (port: number): string => `tap0000000${port}-aa`;

/** A port's service at an address, with a DNS server by which changes can be distinguished. */
function serviceAt(port: number, last: number, dns: number, routes = false): Ipv4Service {
  const { service } = servePort(
    facts({
      tap: tapOf(port),
      mac: macOf(port),
      addresses: [`10.65.0.${last}`],
      subnets: [subnet('10.65.0.0/24', { gatewayIp: '10.65.0.1', dnsServers: [`192.0.2.${dns}`], routes: routes ? { '10.99.0.0/16': '10.65.0.7' } : {} })],
    }),
    serviceOptions,
  );
  return service!.ipv4!;
}

const optionsOf = (tap: string, service: Ipv4Service): Record<string, string> =>
  Object.fromEntries(
    printOptions(tap, service)
      .split('\n')
      .filter(Boolean)
      .map((line) => {
        const [, code = '', ...value] = line.split(',');
        return [code, value.join(',')];
      }),
  );

describe('DHCPv4', () => {
  test('a new port is answered without a reload', () => {
    const dnsmasq = fakeDnsmasq();
    const server = createDnsmasqServer(dnsmasq);
    const service = serviceAt(1, 11, 1);
    expect(server.serve(tapOf(1), macOf(1), service)).toBe(true);
    expect(server.settle(0)).toBeUndefined();
    expect(dnsmasq.ask(tapOf(1), macOf(1))).toEqual({ addresses: service.leases, options: new Map(Object.entries(optionsOf(tapOf(1), service))) });
    expect(dnsmasq.calls).toEqual({ reloads: 0 });
  });

  test('serving a port again in the same way changes nothing', () => {
    const dnsmasq = fakeDnsmasq();
    const server = createDnsmasqServer(dnsmasq);
    server.serve(tapOf(1), macOf(1), serviceAt(1, 11, 1));
    dnsmasq.writeFiles = () => expect.unreachable();
    expect(server.serve(tapOf(1), macOf(1), serviceAt(1, 11, 1))).toBe(false);
    expect(server.settle(0)).toBeUndefined();
    expect(createDnsmasqServer(dnsmasq).serve(tapOf(1), macOf(1), serviceAt(1, 11, 1))).toBe(false);
  });

  test('removals take effect in Dnsmasq ten seconds later, all at once', () => {
    const dnsmasq = fakeDnsmasq();
    const server = createDnsmasqServer(dnsmasq);
    for (const port of [1, 2, 3]) server.serve(tapOf(port), macOf(port), serviceAt(port, 10 + port, 1));
    server.settle(0);
    expect(server.withdraw(tapOf(1))).toBe(true);
    expect(server.settle(100)).toBe(10_000);
    expect(server.withdraw(tapOf(2))).toBe(true);
    expect(server.withdraw(tapOf(2))).toBe(false);
    expect(server.settle(6_100)).toBe(4_000);
    expect(dnsmasq.calls.reloads).toBe(0);
    expect(server.settle(10_100)).toBeUndefined();
    expect(dnsmasq.calls.reloads).toBe(1);
    expect([1, 2, 3].map((port) => dnsmasq.ask(tapOf(port), macOf(port)) !== undefined)).toEqual([false, false, true]);
  });

  test('a new port gets a former port’s address at once, although it is still leased to that port', () => {
    const dnsmasq = fakeDnsmasq();
    const server = createDnsmasqServer(dnsmasq);
    server.serve(tapOf(1), macOf(1), serviceAt(1, 11, 1));
    server.settle(0);
    expect(dnsmasq.ask(tapOf(1), macOf(1))).toBeDefined();
    server.withdraw(tapOf(1));
    server.serve(tapOf(2), macOf(2), serviceAt(2, 11, 1));
    server.settle(1);
    expect(dnsmasq.ask(tapOf(2), macOf(2))?.addresses).toEqual(serviceAt(2, 11, 1).leases);
    expect(dnsmasq.ask(tapOf(1), macOf(1))).toBeUndefined();
  });

  test('a port whose lines Dnsmasq may have refused counts as answered once Dnsmasq has been told to read them again, and that is said', () => {
    const dnsmasq = fakeDnsmasq();
    const said: string[] = [];
    const server = createDnsmasqServer(dnsmasq, (taps) => said.push(`${dnsmasq.calls.reloads} ${[...taps].join()}`));
    server.serve(tapOf(1), macOf(1), serviceAt(1, 11, 1));
    server.serve(tapOf(3), macOf(3), serviceAt(3, 13, 1));
    expect([server.settle(0), said, server.answeredOn(tapOf(1))?.macs]).toEqual([undefined, [], [macOf(1)]]);
    server.withdraw(tapOf(1));
    server.serve(tapOf(2), macOf(2), serviceAt(2, 11, 1));
    expect([dnsmasq.ask(tapOf(2), macOf(2)), server.answeredOn(tapOf(2)), server.answeredOn(tapOf(1))]).toEqual([undefined, undefined, undefined]);
    expect(server.answeredOn(tapOf(3))).toBeDefined();
    server.settle(1);
    expect([said, server.answeredOn(tapOf(2))?.macs]).toEqual([[`1 ${tapOf(2)}`], [macOf(2)]]);
    dnsmasq.isServing = () => false;
    expect(server.answeredOn(tapOf(2))).toBeUndefined();
  });

  test('a port that changes again and again is acted on at once, and then once a second', () => {
    const dnsmasq = fakeDnsmasq();
    const server = createDnsmasqServer(dnsmasq);
    const change = (dns: number, nowMs: number): number | undefined => {
      server.serve(tapOf(1), macOf(1), serviceAt(1, 11, dns));
      return server.settle(nowMs);
    };
    change(1, 0);
    expect([change(2, 5000), dnsmasq.calls.reloads, server.isServing()]).toEqual([undefined, 1, true]);
    expect([change(3, 5100), change(4, 5700), dnsmasq.calls.reloads, server.isServing()]).toEqual([900, 300, 1, false]);
    expect([server.settle(6000), dnsmasq.calls.reloads, server.isServing()]).toEqual([undefined, 2, true]);
    expect(Object.fromEntries(dnsmasq.ask(tapOf(1), macOf(1))!.options)).toEqual(optionsOf(tapOf(1), serviceAt(1, 11, 4)));
    // DHCP that is switched off and on is such a change too.
    server.withdraw(tapOf(1));
    expect([server.settle(6100), change(4, 6200), dnsmasq.calls.reloads]).toEqual([10_000, 800, 2]);
  });

  test('a new port gets the address that another has just given up at once, however often that one changes', () => {
    const dnsmasq = fakeDnsmasq();
    const server = createDnsmasqServer(dnsmasq);
    for (const last of [11, 12, 13]) {
      server.serve(tapOf(1), macOf(1), serviceAt(1, last, 1));
      server.settle(last);
    }
    server.serve(tapOf(2), macOf(2), serviceAt(2, 12, 1));
    expect(server.settle(14)).toBeUndefined();
    expect(dnsmasq.ask(tapOf(2), macOf(2))?.addresses).toEqual(serviceAt(2, 12, 1).leases);
    expect(dnsmasq.ask(tapOf(1), macOf(1))?.addresses).toEqual(serviceAt(1, 13, 1).leases);
  });

  const step = fc.oneof(
    fc.record({
      do: fc.constant('serve' as const),
      port: fc.integer({ min: 1, max: 3 }),
      last: fc.integer({ min: 11, max: 13 }),
      dns: fc.integer({ min: 1, max: 2 }),
      routes: fc.boolean(),
    }),
    fc.record({ do: fc.constant('withdraw' as const), port: fc.integer({ min: 1, max: 3 }) }),
    fc.record({ do: fc.constant('settle' as const), waitMs: fc.constantFrom(0, 300, 3_000, 10_000) }),
    fc.record({ do: fc.constant('ask' as const), port: fc.integer({ min: 1, max: 3 }) }),
    fc.record({ do: fc.constant('agent starts again' as const) }),
  );

  test('as soon as the server says that it serves, within a second, every port gets its current answers, and after ten seconds nobody else is answered', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const dnsmasq = fakeDnsmasq();
        let server = createDnsmasqServer(dnsmasq);
        const wanted = new Map<number, Ipv4Service>();
        let nowMs = 0;
        let restMs: number | undefined;
        for (const now of steps) {
          switch (now.do) {
            case 'serve': {
              // Two ports never have one address here, because the model prevents it. So the later port takes the address over.
              const service = serviceAt(now.port, now.last, now.dns, now.routes);
              for (const [port, other] of wanted) {
                if (port === now.port || other.leases[0] !== service.leases[0]) continue;
                wanted.delete(port);
                server.withdraw(tapOf(port));
              }
              wanted.set(now.port, service);
              server.serve(tapOf(now.port), macOf(now.port), service);
              break;
            }
            case 'withdraw':
              wanted.delete(now.port);
              server.withdraw(tapOf(now.port));
              break;
            case 'ask':
              dnsmasq.ask(tapOf(now.port), macOf(now.port));
              continue;
            case 'settle':
              nowMs += now.waitMs;
              break;
            case 'agent starts again':
              server = createDnsmasqServer(dnsmasq);
              dnsmasq.reload(); // an agent that takes Dnsmasq over reloads it
              restMs = undefined;
              break;
          }
          for (const [port, service] of wanted)
            if (server.answeredOn(tapOf(port))) expect(dnsmasq.ask(tapOf(port), macOf(port))?.addresses).toEqual(service.leases);
          restMs = server.settle(nowMs);
          if (!server.isServing()) expect(restMs).toBeLessThanOrEqual(1000);
          for (const [port, service] of server.isServing() ? wanted : []) {
            expect(dnsmasq.ask(tapOf(port), macOf(port))?.addresses).toEqual(service.leases);
            expect(Object.fromEntries(dnsmasq.ask(tapOf(port), macOf(port))?.options ?? [])).toEqual(optionsOf(tapOf(port), service));
          }
        }
        if (restMs !== undefined) server.settle(nowMs + restMs);
        expect(server.isServing()).toBe(true);
        for (const tap of [1, 2, 3])
          for (const mac of [1, 2, 3, 4]) expect(dnsmasq.ask(tapOf(tap), macOf(mac)) !== undefined && tap !== mac && !formerMac(dnsmasq, tap, mac)).toBe(false);
        for (const port of [1, 2, 3]) expect(dnsmasq.ask(tapOf(port), macOf(port)) !== undefined).toBe(wanted.has(port));
      }),
      { numRuns: 300 },
    );
  });
});

/** Whether the hosts file of a tap names this MAC as one that had the address before. */
const formerMac = (dnsmasq: ReturnType<typeof fakeDnsmasq>, tap: number, mac: number): boolean =>
  dnsmasq.files.get(tapOf(tap))?.host.includes(macOf(mac)) ?? false;

test('an IPv4 port whose address is leased to another MAC names that MAC after its own', () => {
  const dnsmasq = fakeDnsmasq();
  dnsmasq.leaseTable.set(ip('10.65.0.11'), macOf(9));
  createDnsmasqServer(dnsmasq).serve(tapOf(1), macOf(1), serviceAt(1, 11, 1));
  expect(dnsmasq.files.get(tapOf(1))?.host).toContain(`${macOf(1)},${macOf(9)},10.65.0.11`);
});
