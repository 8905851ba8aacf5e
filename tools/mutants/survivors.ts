// Lists mutants that no test can kill or has to kill, each with the reason. A survivor that is not listed here shows that a test is missing.

/** A mutant that may survive. */
export type Survivor = {
  readonly file: string;
  /** The source line, without the blanks around it, so that a row holds when lines above it come and go. */
  readonly line: string;
  /** The change as `npm run test:mutants` prints it. */
  readonly what: string;
  readonly why: string;
};

const millisecond = 'Node waits for a millisecond where it is told to wait for none';
const nextTurn = 'a run that ends early says that it is to be run again at once, which goes on with the rest';

const ofProcess = 'it is of the running process, which system tests start (configuration.system.test.ts, felix.system.test.ts)';

/** All mutants that may survive. */
export const allowedSurvivors: readonly Survivor[] = [
  { file: 'packages/agent/src/clock.ts', line: 'const timer = setTimeout(action, Math.max(0, ms));', what: '0 → 1', why: millisecond },
  {
    file: 'packages/agent/src/clock.ts',
    line: 'const timer = setTimeout(done, Math.max(0, ms)); // Node prints a warning for a negative time, which an overdue pause has',
    what: '0 → 1',
    why: millisecond,
  },
  {
    file: 'packages/agent/src/clock.ts',
    line: "signal?.addEventListener('abort', done, { once: true });",
    what: 'true → false',
    why: 'the listener takes itself away, and a signal is aborted once',
  },
  {
    file: 'packages/felix/src/dataplane.ts',
    line: 'if (missing.length > 0) this.putBack(missing);',
    what: '> → >=',
    why: 'putting back no table does nothing',
  },
  {
    file: 'packages/felix/src/dataplane.ts',
    line: 'if (turned.length > 0) this.note({ ...noChange, workloads: new Map(turned) });',
    what: '> → >=',
    why: 'noting no workload does nothing',
  },
  {
    file: 'packages/felix/src/following.ts',
    line: 'boundHeap();',
    what: 'boundHeap(); → removed',
    why: 'it sets a flag of V8 and nothing else; the bench felix-memory shows it',
  },
  {
    file: 'packages/felix/src/following.ts',
    line: 'metrics.resyncState.set({ connecting: 1, lost: 1, reading: 2, following: 3 }[state]);',
    what: '1 → 2',
    why: 'no follower reports that it connects: it is so before the first report; the other 1 is tested',
  },
  { file: 'packages/felix/src/felix.ts', line: 'const startedAtMs = Date.now() - performance.now();', what: '- → +', why: ofProcess },
  {
    file: 'packages/bird-agent/src/memory.ts',
    line: 'toRemember = undefined;',
    what: 'toRemember = undefined; → removed',
    why: 'the file is not written again with the content that it has',
  },
  {
    file: 'packages/bird-agent/src/route-audit.ts',
    line: 'if (!isChanged && atMs < (last?.atMs ?? 0) + auditMs) return;',
    what: '0 → 1',
    why: 'guards that are not changed were looked at before',
  },
  {
    file: 'packages/dhcp-agent/src/dnsmasq/supervisor.ts',
    line: 'let reloadWanted = false;',
    what: 'false → true',
    why: 'the first run starts a Dnsmasq, which reads everything, or takes one over, which is made to reload',
  },
  {
    file: 'packages/neutron-driver/src/status/elected.ts',
    line: 'following = [];',
    what: 'following = []; → removed',
    why: 'a follower that is closed may be closed again, and the next term has its own',
  },
  { file: 'packages/neutron-driver/src/background.ts', line: 'return true;', what: 'true → false', why: nextTurn },
];
