// Keeps the guard's rules in the kernel: they are installed before Dnsmasq is started, and reinstalled whenever somebody removes them. They stay when the agent ends.
import { type Clock, type Logger, type Loop, StartError, startLoop, systemClock } from '@calico-openstack/agent';
import { openMonitor, openTable, watchRuleset } from '@calico-openstack/kernel';
import { guardChains, guardTable } from './rules.ts';

/** How often the whole table is compared with what it should be, for changes that others made in it. A removed table is noticed at once. */
const auditMs = 60_000;

/** Installs the rules; they are in force when it returns. @throws StartError when the kernel refuses them: without them one guest could be granted another's address */
export function openGuard(log: Logger): { close(): Promise<void> } {
  const table = applied();
  const loop = startTableKeeper({ table, log });
  const monitor = openMonitor();
  watchRuleset(
    monitor,
    () => [table.portId()],
    () => loop.wake(),
  );
  return {
    async close() {
      monitor.close();
      await loop.close();
      table.close();
    },
  };
}

/** The guard's table as the keeper uses it. */
export type KeptTable = {
  /** Whether the kernel has the table. */
  exists(): boolean;
  distrust(): void;
  apply(): unknown;
};

/** Checks that the table exists whenever it is woken, and reinstalls it if it does not; compares all of it once a minute. The first check follows at once. */
export function startTableKeeper({ table, log, clock = systemClock }: { readonly table: KeptTable; readonly log: Logger; readonly clock?: Clock }): Loop {
  let auditAtMs = clock.steadyMs() + auditMs;
  const loop = startLoop({
    run() {
      const isGone = !table.exists();
      if (isGone) log.warn({ table: guardTable.name }, 'another program removed the nftables table that keeps guests’ DHCP apart; reinstalling it');
      if (isGone || clock.steadyMs() >= auditAtMs) {
        table.distrust();
        table.apply();
        auditAtMs = clock.steadyMs() + auditMs;
      }
      return Math.max(0, auditAtMs - clock.steadyMs());
    },
    onFailure: (error, failures, retryMs) =>
      log.error(
        { err: error, failures, retryMs: Math.round(retryMs) },
        'cannot install the nftables table that keeps guests’ DHCP apart, so one guest could be granted another’s address; retrying; see the error, and what else owns the table calico-dhcp-agent',
      ),
    clock,
  });
  loop.wake();
  return loop;
}

function applied(): ReturnType<typeof openTable> {
  let table: ReturnType<typeof openTable> | undefined;
  try {
    table = openTable(guardTable.family, guardTable.name);
    for (const chain of guardChains) table.setChain(chain);
    table.apply();
    return table;
  } catch (error) {
    table?.close();
    const name = `${guardTable.family} ${guardTable.name}`;
    throw new StartError(
      'NFTABLES_REFUSED',
      `the kernel refuses the nftables rules that keep guests' DHCP apart, and nothing is started without them (a Dnsmasq that runs keeps running): ${(error as Error).message}. ` +
        `Start this agent as root with CAP_NET_ADMIN, on a kernel with nf_tables ("nft list tables" shows both); where another program owns table ${name}, end that one`,
      { cause: error },
    );
  }
}
