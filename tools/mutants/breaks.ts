// Breaks made by hand: each takes something from waiting, retrying or order that only a unit test of its shell can miss. `npm run test:mutants -- --quick` makes them, one at a time.

/** A break: a piece of the source that is replaced by another. */
export type Break = {
  /** The fault that the break makes, for people: `a datastore that is being filled is called ready too early`. */
  readonly what: string;
  /** The path of the source file below the project's root. */
  readonly file: string;
  /** The text that is replaced. It occurs exactly once in the file. */
  readonly from: string;
  /** The text that takes its place. */
  readonly to: string;
};

/** All breaks made by hand. Each is killed by a unit test. */
export const breaks: readonly Break[] = [
  {
    what: 'a datastore that is being filled is called ready too early',
    file: 'packages/neutron-driver/src/upkeep.ts',
    from: 'await records(!whole);',
    to: 'await records(true);',
  },
  {
    what: 'a resync that could not look at everything counts as one that has',
    file: 'packages/neutron-driver/src/upkeep.ts',
    from: '(await run()).complete',
    to: '(await run()) !== undefined',
  },
  {
    what: 'a replaced etcd is filled beside a filling that is under way',
    file: 'packages/neutron-driver/src/upkeep.ts',
    from: 'filling = filling.then(() => fill(true));',
    to: 'filling = fill(false);',
  },
  {
    what: 'what Neutron announced is not looked at once more behind its write',
    file: 'packages/neutron-driver/src/announcements.ts',
    from: 'journal.done(direct, result.wrote, result.unnamed);',
    to: 'journal.done(direct, [], result.unnamed);',
  },
  {
    what: 'what was written in the background is not looked at once more',
    file: 'packages/neutron-driver/src/background.ts',
    from: 'journal.done(looks, result.wrote, result.unnamed);',
    to: 'journal.done(looks, [], result.unnamed);',
  },
  {
    what: 'the second look comes at once, when writers with older rows may still write',
    file: 'packages/neutron-driver/src/sync/journal.ts',
    from: 'soonest(entry, nextCheckMs(nowMs(), checkMs));',
    to: 'soonest(entry, nowMs());',
  },
  {
    what: 'the journal tries again without a growing pause',
    file: 'packages/neutron-driver/src/sync/journal.ts',
    from: 'firstRetryMs * 2 ** (entry.failures - 1)',
    to: 'firstRetryMs',
  },
  {
    what: 'one object at fault holds up its batch',
    file: 'packages/neutron-driver/src/background.ts',
    from: 'looks.length > 1 && !isTransient(error)',
    to: 'looks.length > 1 && isTransient(error)',
  },
  {
    what: "a port's state is not looked at once more behind its write",
    file: 'packages/neutron-driver/src/status/port-loop.ts',
    from: 'waiting.addAgain(row.id); // compared once more',
    to: '// compared once more',
  },
  {
    what: 'states that could not be written are forgotten',
    file: 'packages/neutron-driver/src/status/port-loop.ts',
    from: 'for (const port of some) waiting.addAgain(port);',
    to: '',
  },
  {
    what: 'a driver that is no longer elected goes on bringing states to Neutron',
    file: 'packages/neutron-driver/src/status/elected.ts',
    from: "log.warn({ reason }, 'no longer elected: another driver writes the states of ports and agents to Neutron');\n      endFollowing();",
    to: "log.warn({ reason }, 'no longer elected: another driver writes the states of ports and agents to Neutron');",
  },
  {
    what: 'liveness of agents that could not be written is lost',
    file: 'packages/neutron-driver/src/status/agents.ts',
    from: 'agents.forEach(wait);\n        urgent = true;',
    to: 'urgent = true;',
  },
  {
    what: 'a reload does not have BIRD asked again for what it refused',
    file: 'packages/bird-agent/src/core.ts',
    from: 'reconciler.retry();',
    to: '',
  },
  {
    what: 'what BIRD refused is never asked again',
    file: 'packages/bird-agent/src/apply.ts',
    from: 'nowMs() < refused.untilMs',
    to: 'nowMs() < Number.POSITIVE_INFINITY',
  },
  {
    what: 'BIRD counts as configured before it has gone over to its configuration',
    file: 'packages/bird-agent/src/apply.ts',
    from: 'await settle(control, wanted, answer.file);',
    to: '',
  },
  {
    what: 'a BIRD that goes is not noticed',
    file: 'packages/bird-agent/src/core.ts',
    from: "see BIRD’s log');\n      loop.wake();",
    to: "see BIRD’s log');",
  },
  {
    what: 'the Node is not written when etcd is back',
    file: 'packages/bird-agent/src/datastore-state.ts',
    from: 'wake(); // a write of the Node',
    to: '// the Node',
  },
  {
    what: 'routes that were judged by former guards stay',
    file: 'packages/bird-agent/src/route-audit.ts',
    from: 'const isChanged = guards !== last?.guards;',
    to: 'const isChanged = last === undefined;',
  },
  {
    what: 'BIRD is away, and not looked for soon',
    file: 'packages/bird-agent/src/look-again.ts',
    from: "if (bird === 'away') return birdRetryMs;",
    to: '',
  },
  {
    what: 'a Dnsmasq that ends as soon as it is started is started without a pause',
    file: 'packages/dhcp-agent/src/dnsmasq/supervisor.ts',
    from: 'await clock.pause(retryMs, stop.signal);',
    to: '',
  },
  {
    what: 'the pause between starts of a Dnsmasq does not grow',
    file: 'packages/dhcp-agent/src/dnsmasq/supervisor.ts',
    from: 'shortLives += 1;',
    to: 'shortLives = 1;',
  },
  {
    what: 'a Dnsmasq that is to be replaced ends before the next one serves',
    file: 'packages/dhcp-agent/src/dnsmasq/supervisor.ts',
    from: 'predecessors = [...predecessors, running];',
    to: 'await host.kill(running);',
  },
  {
    what: 'what the kernel or the disk refuses is tried without a growing pause',
    file: 'packages/dhcp-agent/src/growing-pause.ts',
    from: 'Math.min(2 * nextMs, maxMs)',
    to: 'firstMs',
  },
  {
    what: 'what the disk refused is not tried again',
    file: 'packages/dhcp-agent/src/core.ts',
    from: 'undone = writeFiles(changed);',
    to: 'writeFiles(changed);',
  },
  {
    what: 'a table that guards guests is not put back',
    file: 'packages/dhcp-agent/src/guard/guard.ts',
    from: 'if (isGone || clock.steadyMs() >= auditAtMs)',
    to: 'if (clock.steadyMs() >= auditAtMs)',
  },
  {
    what: 'a loop tries again without a growing pause',
    file: 'packages/agent/src/loop.ts',
    from: 'failures += 1;',
    to: 'failures = 1;',
  },
  {
    what: 'who asked before a failure is told that all is done',
    file: 'packages/agent/src/loop.ts',
    from: 'waiting = [...asking, ...waiting];',
    to: 'for (const resolve of asking) resolve();',
  },
  {
    what: 'an endpoint of etcd that does not answer in time is asked again and again',
    file: 'packages/etcd/src/connection.ts',
    from: "if (code === 'ETCD_UNAVAILABLE' || code === 'ETCD_TIMEOUT') this.#endpoints.leave(endpoint);",
    to: "if (code === 'ETCD_UNAVAILABLE') this.#endpoints.leave(endpoint);",
  },
  {
    what: 'addresses that leave are not recorded, so that their connections go on with whoever gets them',
    file: 'packages/felix/src/devices/leads.ts',
    from: 'for (const cidr of left) this.#leaving.set(cidr, undefined);',
    to: '',
  },
  {
    what: 'the kernel refused rules because somebody else committed meanwhile, and it is not read again',
    file: 'packages/kernel/src/nftables/programmer.ts',
    from: "if (refused.code === 'ERESTART' && readings < readingsThatMustHold) readings++;",
    to: 'if (readings < 0) readings++;',
  },
  {
    what: 'what an audit read of a link that flapped meanwhile is believed',
    file: 'packages/kernel/src/programmer/known.ts',
    from: 'doubtful: known.ours.some((object) => flapped.has(this.#kind.deviceIndex(object) ?? -1))',
    to: 'doubtful: false',
  },
  {
    what: 'an address that leaves is not in the table, so that the next run does not cut its connections',
    file: 'packages/felix/src/dataplane.ts',
    from: 'this.#tables.inet.addElements(leavingAddresses(familyOf(address)), [addressElement(address)]);',
    to: '',
  },
  {
    what: 'what the kernel refused of a device is not tried again',
    file: 'packages/felix/src/felix.ts',
    from: 'retry ? retryMs : longestRestMs',
    to: 'longestRestMs',
  },
  {
    what: 'a table of ours that somebody took away is not put back',
    file: 'packages/felix/src/felix.ts',
    from: 'if (this.#comparisons.strangersChangedRules) this.#missingTables.putBack(this.#programmed !== undefined);',
    to: '',
  },
  {
    what: 'a failed look at connections is forgotten',
    file: 'packages/felix/src/connections/enforcement.ts',
    from: 'waiting = both(waiting, taken); // the next review includes these addresses',
    to: '',
  },
  {
    what: 'the watch of etcd is never a steady one, so that pauses only grow',
    file: 'packages/etcd/src/follow.ts',
    from: 'this.#failures = 0;',
    to: 'void 0;',
  },
];
