// Only connections that policy allowed count as established, also after flushed rulesets, restarts, upgrades and take-overs. With packets on a real kernel.
import { fileURLToPath } from 'node:url';
import { type Conntrack, inNamespace, openConntrack } from '@calico-openstack/kernel';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Plugged, TestHost } from './testing/host.ts';
import { endpointNumber, felixConfiguration, securityGroup, tapOf, workloadEndpoint } from './testing/resources.ts';

const udp = (destinationPort: number, sourcePort?: number) => ({ protocol: 17, destinationPort, ...(sourcePort && { sourcePort }) });
const allows = (port: number) => securityGroup('open', [{ action: 'Allow', protocol: 17, destination: { ports: [port] } }]);
const nobody = securityGroup('open', [], []);
const families = [4, 6] as const;

/** `nft list ruleset` of this project's Felix before it had stamps, with the endpoints one and two in the group `open`. */
const rulesBeforeStamps = fileURLToPath(new URL('testing/rules-before-stamps.nft', import.meta.url));

let host: TestHost;
let conntrack: Conntrack;
let [one, two]: [Plugged, Plugged] = [] as never;

beforeEach(async () => {
  host = await TestHost.open();
  one = await host.plug(endpointNumber(1));
  two = await host.plug(endpointNumber(2));
  conntrack = inNamespace(host.name, openConntrack);
  await host.put(allows(7000), workloadEndpoint(one), workloadEndpoint(two));
});
afterEach(async () => {
  conntrack.close();
  await host.close();
});

async function running(): Promise<void> {
  host.output = '';
  host.startAgent();
  await host.untilProgrammed();
  await host.untilPasses(one, two, udp(7000));
}

/** Both directions of the connection from port `from` of endpoint one to port `to` of two, in each family. */
async function carries(to: number, from: number): Promise<boolean[]> {
  const passed: boolean[] = [];
  for (const family of families) {
    passed.push(await host.passes(one, two, udp(to, from), family));
    passed.push(await host.passes(two, one, udp(from, to), family));
  }
  return passed;
}
const all = [true, true, true, true];
const none = [false, false, false, false];
/** Sends only the answers, which cannot begin a connection that policy allows. */
const answers = async (to: number, from: number): Promise<boolean[]> => Promise.all(families.map((family) => host.passes(two, one, udp(from, to), family)));

/** Replaces our rules by others in one transaction. The kernel still tracks connections, so a connection that begins then is established afterwards. */
const reloadRuleset = (): Promise<string> =>
  host.exec('nft', 'flush ruleset; table inet others { chain forward { type filter hook forward priority 10; ct state invalid drop; }; }');

/** Resolves when the rules require stamps. */
const untilAskedFor = (): Promise<void> =>
  host.until(async () => (await host.exec('nft', 'list', 'map', 'inet', 'calico-felix', 'connection-stamps')).includes('0x00040000'), 'the stamps in force');

/** The host without rules, as after a boot or a flushed ruleset. It forwards everything. */
async function forwardsAlone(): Promise<void> {
  await host.exec('sysctl', '-q', '-w', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
  for (const each of [one, two]) {
    for (const address of each.addresses) {
      await host.exec('ip', 'route', 'replace', address, 'dev', tapOf(each), 'proto', '3', 'metric', '1024');
      await host.exec('ip', 'neigh', 'replace', address, 'lladdr', each.mac, 'dev', tapOf(each), 'nud', 'permanent');
    }
  }
}

describe('another program flushes the ruleset', () => {
  test('what began in the gap is dead both ways, and what policy let through has lost nothing', async () => {
    await running();
    expect(await carries(7000, 555)).toEqual(all);
    // Both directions of a connection that policy denies are sent all the time, until both have passed while there are no rules.
    const began = new Set<string>();
    for (let gaps = 0; began.size < 2; gaps += 1) {
      expect(gaps).toBeLessThan(50);
      await reloadRuleset();
      const endMs = performance.now() + 100;
      while (performance.now() < endMs) {
        const sent = { there: host.send(one, two, udp(7999, 4000)), back: host.send(two, one, udp(4000, 7999)) };
        await new Promise((resolve) => setTimeout(resolve, 0.5));
        host.readArrivals();
        for (const [way, probe] of Object.entries(sent)) if (host.arrivalOf(probe)) began.add(way);
      }
    }
    await host.untilPasses(one, two, udp(7998), false);
    expect((await conntrack.flows()).filter(({ original }) => original.sourcePort === 4000 || original.destinationPort === 4000)).not.toEqual([]);
    const [there, back] = [await host.passes(one, two, udp(7999, 4000)), await host.passes(two, one, udp(4000, 7999))];
    expect([there, back]).toEqual([false, false]);
    expect(await carries(7000, 555)).toEqual(all);
  });

  test('what began in the gap goes on where policy allows it', async () => {
    await running();
    await host.stopAgent('SIGKILL');
    await reloadRuleset();
    expect(await carries(7000, 4000)).toEqual(all);
    await running();
    expect(await answers(7000, 4000)).toEqual([false, false]);
    expect(await carries(7000, 4000)).toEqual(all);
  });
});

describe('with tables of its own', () => {
  const owned = async (): Promise<void> => {
    host.output = '';
    host.startAgent(undefined, { FELIX_NFTABLESTABLEOWNERSHIP: 'Owned' });
    await host.untilProgrammed();
    await host.untilPasses(one, two, udp(7000));
  };

  test('another program’s flush changes nothing: nothing that policy denies passes at any time, and what it allows always does', async () => {
    await owned();
    expect(await carries(7000, 555)).toEqual(all);
    const sent: number[] = [];
    for (let flushes = 0; flushes < 3; flushes += 1) {
      const flushed = reloadRuleset();
      const endMs = performance.now() + 100;
      while (performance.now() < endMs) {
        sent.push(host.send(one, two, udp(7999, 4000)));
        await new Promise((resolve) => setTimeout(resolve, 0.5));
      }
      await flushed;
      expect(await carries(7000, 555)).toEqual(all);
    }
    expect(sent.filter((probe) => host.arrivalOf(probe))).toEqual([]);
    await expect(host.exec('nft', 'delete', 'table', 'inet', 'calico-felix')).rejects.toThrow('not permitted');
  });

  test('a killed agent leaves them, the next one has them and changes on; when it is stopped, an operator can take them away', async () => {
    await owned();
    expect(await carries(7000, 555)).toEqual(all);
    await host.stopAgent('SIGKILL');
    expect(await answers(7000, 555)).toEqual([true, true]);
    await owned();
    await host.put(allows(7001));
    await host.untilPasses(one, two, udp(7001));
    // This is how an operator removes the tables.
    await host.stopAgent();
    await host.exec('nft', 'delete table inet calico-felix; delete table arp calico-felix');
    expect(await host.exec('nft', 'list', 'ruleset')).toBe('');
  });
});

test('what was let through goes on over a killed agent', async () => {
  await running();
  expect(await carries(7000, 555)).toEqual(all);
  await host.stopAgent('SIGKILL');
  expect(await answers(7000, 555)).toEqual([true, true]);
  host.output = '';
  host.startAgent();
  await host.untilProgrammed();
  expect(await answers(7000, 555)).toEqual([true, true]);
  expect(host.output).not.toContain('stamped');
});

test('after a boot nothing is taken for established that began before the rules', async () => {
  await forwardsAlone();
  await reloadRuleset();
  expect(await carries(7999, 4000)).toEqual(all);
  await running();
  expect(await carries(7999, 4000)).toEqual(none);
});

describe('rules that know nothing of stamps are taken over', () => {
  test('this project’s earlier ones: what they let through goes on, what nobody did is denied, and the next start stamps nothing', async () => {
    await forwardsAlone();
    await host.exec('nft', '-f', rulesBeforeStamps);
    expect(await carries(7000, 555)).toEqual(all);
    host.startAgent();
    await host.untilSaid('connections that were let through before are stamped');
    expect(await answers(7000, 555)).toEqual([true, true]);
    await untilAskedFor();
    expect(await answers(7000, 555)).toEqual([true, true]);
    await host.stopAgent('SIGKILL');
    await reloadRuleset();
    expect(await carries(7999, 4000)).toEqual(all);
    await running();
    expect(host.output).not.toContain('let through before');
    expect(await carries(7999, 4000)).toEqual(none);
    expect(await answers(7000, 555)).toEqual([true, true]);
  });

  test('upstream’s likewise', async () => {
    await forwardsAlone();
    await reloadRuleset();
    await host.exec(
      'nft',
      'table ip calico { chain filter-cali-FORWARD { }; chain filter-FORWARD { type filter hook forward priority 0; jump filter-cali-FORWARD; }; }',
    );
    expect(await carries(7000, 555)).toEqual(all);
    host.startAgent();
    await host.untilSaid('connections that were let through before are stamped');
    await untilAskedFor();
    expect(await answers(7000, 555)).toEqual([true, true]);
  });

  test('killed before stamps were asked for, the next run begins again', async () => {
    await running();
    expect(await carries(7000, 555)).toEqual(all);
    await host.stopAgent('SIGKILL');
    // This is the state between the rules that stamp and those that require stamps: the table does not say that stamps are in force, and connections have none.
    await host.exec('nft', 'flush', 'map', 'inet', 'calico-felix', 'connection-stamps');
    await conntrack.markFlows(0xffffffff, () => 0);
    await running();
    await host.untilSaid('connections that were let through before are stamped');
    await untilAskedFor();
    expect(await answers(7000, 555)).toEqual([true, true]);
  });
});

test.each([0x0000ff00, 0xfffe0000])(
  'another NftablesMarkMask, 0x%x: connections keep what they were let through by, or are judged anew',
  async (nftablesMarkMask) => {
    await running();
    expect(await carries(7000, 555)).toEqual(all);
    await conntrack.markFlows(0xf, () => 5); // bits of another program
    await host.put(felixConfiguration({ nftablesMarkMask, establishedConnections: 'Keep' }));
    await host.untilSaid(nftablesMarkMask === 0xff00 ? 'bits of the new NftablesMarkMask' : 'have lost their stamps');
    const stamps = nftablesMarkMask === 0xff00 ? 0xc00 : 0x180000;
    await host.until(async () => {
      expect(await host.passes(one, two, udp(7000, 555))).toBe(true);
      const [flow] = (await conntrack.flows()).filter(({ family, original }) => family === 4 && original.sourcePort === 555);
      return flow?.mark === stamps + 5;
    }, 'the stamps to be other ones');
    await host.put(nobody);
    await host.untilPasses(one, two, udp(7000), false);
    expect([await host.passes(one, two, udp(7000, 555)), await host.passes(two, one, udp(555, 7000))]).toEqual([true, true]);
  },
);

describe('connections of the host itself', () => {
  test.each(families)('to a workload that lets nothing in, IPv%i: the answer arrives, and an answer to nothing does not', async (family) => {
    await host.put(nobody);
    await running2();
    const own = family === 4 ? '192.0.2.1' : 'fd99::1';
    await host.exec('ip', 'address', 'add', `${own}/${family === 4 ? 32 : 128}`, 'dev', 'lo', ...(family === 6 ? ['nodad'] : []));
    const counted = await countLetIn();
    const to = two.addresses.find((address) => address.includes(':') === (family === 6))!;
    const socketAddress = (address: string, port: number): string => (family === 4 ? `${address}:${port}` : `[${address}]:${port}`);
    host.send(two, { addresses: [own] }, { ...udp(5000, 7000), destination: own }, family); // an answer without a request
    await host.exec('sh', '-c', `echo hello | socat -u - UDP${family}-SENDTO:${socketAddress(to, 7000)},bind=${socketAddress(own, 4999)}`);
    await host.until(() => host.readArrivals().some(({ frame }) => Buffer.from(frame).includes('hello')), 'the host’s packet');
    host.send(two, { addresses: [own] }, { ...udp(4999, 7000), destination: own }, family);
    await host.until(async () => (await counted()) > 0, 'the answer');
    expect(await counted()).toBe(1);
  });
});

/** Resolves when the host is programmed, in tests where no packet passes that could show it. */
async function running2(): Promise<void> {
  host.startAgent();
  await host.untilProgrammed();
}

/** Counts the packets from workloads with source port 7000 that our rules allow to the host. */
async function countLetIn(): Promise<() => Promise<number>> {
  const chain = 'type filter hook input priority 300; iifname "tap*" udp sport 7000 counter name let_in;';
  await host.exec('nft', `table inet spy {\n counter let_in {\n }\n chain input {\n ${chain}\n }\n}`);
  return async () => Number(/packets (\d+)/.exec(await host.exec('nft', 'list', 'counter', 'inet', 'spy', 'let_in'))![1]);
}
