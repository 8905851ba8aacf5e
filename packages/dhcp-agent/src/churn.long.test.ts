// Tests long service: ports come, ask and go for an hour, and nothing of the agent or its Dnsmasqs grows. CHURN_MINUTES sets the length.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { memoryOf } from '@calico-openstack/kernel/processes/processes';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { port, type TestPort } from './testing/etcd-values.ts';
import { subnet } from './testing/facts.ts';
import { rawGuest } from './testing/raw-dhcp.ts';
import { type Guest, openWorld, type World } from './testing/world.ts';

const minutes = Number(process.env['CHURN_MINUTES'] ?? 60);
/** The ports that come and go together, and how many addresses they use in turn. */
const [atOnce, addresses] = [6, 60] as const;
/** How long the first ports and the end may take besides, on a busy machine. */
const besidesMs = 1_200_000;
const tellEveryMs = 60_000;

let world: World;
beforeAll(async () => {
  world = await openWorld();
  // Without debug lines, so that the log's own file is small.
  await world.startAgent('debug = false\ndnsmasq_base_log_dir =\ndnsmasq_dns_servers = 127.53.0.1', { heap: ['--max-semi-space-size=1'] }); // as the program in bin/ does
  await world.putSubnet('a4', subnet('10.65.0.0/16', { gatewayIp: '10.65.0.1' }));
  await world.putSubnet('a6', subnet('2001:db8:a::/64', { gatewayIp: '2001:db8:a::1' }));
});
afterAll(() => world.close());

let turn = 0;
/** The next port: a new VM with an address that another one had before. */
function nextPort(): TestPort {
  turn += 1;
  const hex = turn.toString(16).padStart(6, '0');
  const last = (turn % addresses) + 10;
  return port(1, {
    id: `port-${hex}`,
    tap: `tap${hex}00-aa`,
    mac: `fa:16:3e:${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4)}`,
    fqdn: `vm-${hex}.cloud.example.`,
    addresses: [`10.65.1.${last}`, `2001:db8:a::${last}`],
  });
}

/** One port comes, asks by each protocol, changes, and goes. */
async function live(one: TestPort): Promise<void> {
  const guest: Guest = await world.guestOf(one);
  const raw = rawGuest(guest, one.mac);
  try {
    expect(await raw.ask4({ kind: 'discover' }, 20_000)).toMatchObject({ kind: 'offer', address: one.addresses[0] });
    await raw.ask4({ kind: 'request', requested: one.addresses[0]! }, 5000);
    expect(await raw.lease6()).toBeDefined();
    await world.putPort({ ...one, fqdn: 'changed.cloud.example.' });
  } finally {
    raw.close();
    await world.deletePort(one);
    guest.close();
  }
}

/** What must not grow: megabytes of the agent and of each Dnsmasq, their open descriptors, and the files. */
function use() {
  const pids = [world.agent().pid!, ...world.dnsmasqsRunning()];
  const files = (directory: string): number => readdirSync(directory, { withFileTypes: true, recursive: true }).length;
  return {
    megabytes: pids.map((pid) => memoryOf(pid).residentBytes / 1e6),
    descriptors: pids.map((pid) => readdirSync(`/proc/${pid}/fd`).length),
    files: files(join(world.directory, 'state')),
  };
}

test(`${minutes} minutes of ports that come and go leave no trace in memory, descriptors and files`, { timeout: minutes * 60_000 + besidesMs }, async () => {
  const round = () => Promise.all(Array.from({ length: atOnce }, () => live(nextPort())));
  for (let rounds = 0; rounds < 2 * Math.ceil(addresses / atOnce); rounds += 1) await round(); // each address was used
  let before = use();
  const tell = (): void => void process.stdout.write(`${JSON.stringify({ ports: turn, ...use() })}\n`);
  const startMs = performance.now();
  const [grownMs, endMs] = [startMs + minutes * 10_000, startMs + minutes * 60_000];
  for (let tellMs = startMs; performance.now() < endMs; await round()) {
    if (performance.now() < tellMs) continue;
    tellMs += tellEveryMs;
    tell();
    if (performance.now() <= grownMs) before = use(); // in its first minutes the agent compiles its code, and its heap gets its size
  }
  await world.until('the last port’s files are gone', () => use().files <= before.files);
  const after = use();
  process.stdout.write(`${JSON.stringify({ ports: turn, before, after })}\n`);
  for (const [index, descriptors] of after.descriptors.entries()) expect(descriptors).toBeLessThanOrEqual(before.descriptors[index]! + 5);
  // A heap's size varies by some megabytes. A Dnsmasq is replaced when it has grown by 17.
  for (const [index, megabytes] of after.megabytes.entries()) expect(megabytes).toBeLessThan(before.megabytes[index]! + (index === 0 ? 10 : 20));
});
