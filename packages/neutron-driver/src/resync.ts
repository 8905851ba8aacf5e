// Compares the values of Neutron's objects in etcd with Neutron's database, and synchronises the objects that differ. It never writes what it compared, which is old by then: rows and values are read again for that.
import { type Clock, systemClock } from '@calico-openstack/agent';
import { rfc3339Seconds } from '@calico-openstack/datamodel';
import { type Etcd, EtcdError } from '@calico-openstack/etcd';
import { type LeftOut, wouldBeRefused } from './addressing/audit.ts';
import type { AddressRules } from './addressing/rules.ts';
import { ensureClusterRecords } from './cluster.ts';
import type { GivingWay, Turn } from './giving-way.ts';
import { type Held, readHeld } from './held.ts';
import type { ProjectLookup } from './projects.ts';
import { type ComparedKind, comparedKinds, everything, idsOf, type ResyncScope } from './resync-scope.ts';
import type { RightPorts, RightPortsPass } from './right-ports.ts';
import { noRows, noRowsQuestion, type Rows } from './rows.ts';
import type { Background, PagedKind } from './sources.ts';
import { type Change, changeKey } from './sync/change.ts';
import { birth } from './sync/content.ts';
import { felixConfigurationKey, plan, projectsOf, type Settings, type Unit } from './sync/plan.ts';
import type { Sync } from './sync/sync.ts';

/** The result of one phase of a resync, with upstream's names. */
export type Phase = {
  total_ms: number;
  etcd_read_ms: number;
  neutron_read_ms: number;
  etcd_items: number;
  neutron_items: number;
  correct: number;
  created: number;
  updated: number;
  deleted: number;
  /** Objects that etcd refuses for a lasting reason. */
  failed: number;
};

/** The result of a resync, for programs: its names are those of upstream's calico-resync. */
export type ResyncSummary = {
  readonly scope: ResyncScope;
  /** Whether nothing was written: `created`, `updated` and `deleted` then count what would have been. */
  readonly dry_run: boolean;
  readonly phases: Readonly<Record<string, Phase>>;
  readonly started_at: string;
  readonly finished_at: string;
  readonly total_ms: number;
  readonly ok: boolean;
  /** Whether every object was compared. Some comparisons may have failed. */
  readonly complete: boolean;
  readonly error: string | null;
  /** Objects that are in Neutron already and would be refused today: at most the first thousand. */
  readonly would_be_refused: readonly LeftOut[];
  readonly would_be_refused_total: number;
};

/** The parts that a resync works with. */
export type ResyncOptions = {
  readonly etcd: Etcd;
  readonly source: Background;
  readonly sync: Sync;
  readonly settings: Settings;
  readonly projects: ProjectLookup;
  /** The ports that the last resync found right. They are read in depth only when their revisions differ. */
  readonly rightPorts: RightPorts;
  /** Called with each object that etcd refuses. */
  readonly onFailed: (change: Change, error: unknown) => void;
  /** Called with the changes that were written, which have to be checked once more (sync/journal.ts). */
  readonly onWrote: (changes: readonly Change[]) => void;
  readonly onWarning: (object: string, what: string) => void;
  readonly addresses: () => Promise<AddressRules>;
  /** Lets users' calls go first; undefined where nobody announces changes. */
  readonly givingWay?: Pick<GivingWay, 'turns'>;
  readonly clock?: Pick<Clock, 'steadyMs' | 'nowMs'>;
};

/** The mode of a resync, and the callback for its progress. */
export type ResyncHow = {
  /** Whether to write nothing, and only count the differences. */
  readonly dryRun?: boolean;
  /** Whether to read all ports in depth, also those whose revisions have not changed. */
  readonly deep?: boolean;
  /** Called after each page and each batch of repairs. */
  readonly onProgress?: (progress: ResyncProgress) => void;
};
/** The progress of a resync. */
export type ResyncProgress = { readonly phase: string } & Readonly<Pick<Phase, 'neutron_items' | 'etcd_items' | 'created' | 'updated' | 'deleted' | 'failed'>>;

const pageSize = 500;
/** How many ports' stamps are read at once. */
const stampsSize = 10_000;
/** How many differing objects are synchronised together, at most in one of etcd's transactions. */
const batchSize = 100;
/** How many such batches are under way: while one waits for Neutron's rows, another waits for etcd. They are few, so that API calls never wait long. */
const batchesAtOnce = 3;
const deadlineMs = 300_000;
/** The summary lists at most this many of the objects that would be refused. */
const maxListed = 1000;

const phaseNames: Readonly<Record<ComparedKind, string>> = {
  subnets: 'subnets',
  address_groups: 'address_groups',
  security_groups: 'policy',
  ports: 'endpoints',
};

/** Runs a resync. Groups are compared before the endpoints that belong to them. Never rejects: an error is in the summary. */
export async function resync(options: ResyncOptions, scope: ResyncScope = everything, how: ResyncHow = {}): Promise<ResyncSummary> {
  const { clock = systemClock } = options;
  const { dryRun = false, deep = false, onProgress = () => {} } = how;
  if (deep) options.rightPorts.forget();
  const begunMs = clock.nowMs();
  const total = stopwatch(clock);
  const phases: Record<string, Phase> = {};
  let failure: unknown;
  let complete = false;
  let refused: readonly LeftOut[] = [];
  try {
    // These are compared first, because Felix's treatment of ports depends on them.
    if (!dryRun) await ensureClusterRecords(options.etcd, false);
    options.projects.forget();
    const addresses = await options.addresses();
    const leftOut: LeftOut[] = [];
    const named = await idsOf(scope, options.source);
    for (const kind of comparedKinds) {
      const only = named?.[kind];
      if (only?.length === 0) continue;
      const phase = newPhase();
      phases[phaseNames[kind]] = phase;
      const progress = (): void => onProgress({ phase: phaseNames[kind], ...phase });
      await timed(phase, 'total_ms', clock, () => runPhase(kind, { ...options, clock, addresses, leftOut, only, dryRun, progress }, phase));
    }
    refused = scope.all ? [...(await wouldBeRefused(options.source, addresses, leftOut)), ...(await options.source.notCarriedOut())] : leftOut;
    for (const { kind, id, what } of refused.slice(0, maxListed)) options.onWarning(`${kind} ${id}`, `would be refused today: ${what}`);
    complete = true;
    const failed = Object.values(phases).reduce((sum, phase) => sum + phase.failed, 0);
    if (failed > 0) failure = `etcd refused the values of ${failed} objects: see the log`;
  } catch (error) {
    failure = error;
  }
  return {
    scope,
    dry_run: dryRun,
    phases,
    started_at: rfc3339Seconds(new Date(begunMs)),
    finished_at: rfc3339Seconds(new Date(clock.nowMs())),
    total_ms: total(),
    ok: failure === undefined,
    complete,
    error: failure === undefined ? null : failure instanceof Error ? failure.message : String(failure),
    would_be_refused: refused.slice(0, maxListed),
    would_be_refused_total: refused.length,
  };
}

const newPhase = (): Phase => ({
  total_ms: 0,
  etcd_read_ms: 0,
  neutron_read_ms: 0,
  etcd_items: 0,
  neutron_items: 0,
  correct: 0,
  created: 0,
  updated: 0,
  deleted: 0,
  failed: 0,
});

type Pass = Omit<ResyncOptions, 'addresses'> &
  Required<Pick<ResyncOptions, 'clock'>> & {
    readonly addresses: AddressRules;
    readonly leftOut: LeftOut[];
    readonly dryRun: boolean;
    readonly progress: () => void;
    /** The ids of the objects to compare. When undefined, all of Neutron's objects are compared, and the values in etcd of objects that Neutron does not have. */
    readonly only: readonly string[] | undefined;
  };

async function runPhase(kind: ComparedKind, options: Pass, phase: Phase): Promise<void> {
  const { etcd, source, settings, projects, addresses, clock, only } = options;
  const right = kind === 'ports' && !only ? await timed(phase, 'neutron_read_ms', clock, () => beginPass(options)) : undefined;
  const held = await timed(phase, 'etcd_read_ms', clock, () => readHeld(kind, etcd, settings, right?.warm));
  phase.etcd_items = held.items;
  const states = new Map<string, string>();
  const turn = options.givingWay?.turns() ?? (async () => {});
  if (right) await timed(phase, 'neutron_read_ms', clock, () => passOver(right, held, states, turn, options, phase));
  const batches = only || kind === 'ports' ? namedBatches(kind, only ?? [...states.keys()], source, turn) : pages(kind, source, turn);
  for (;;) {
    const { value, done } = await timed(phase, 'neutron_read_ms', clock, () => batches.next());
    if (done) break;
    const { ids, rows } = value;
    phase.neutron_items += ids.length;
    if (right) await timed(phase, 'etcd_read_ms', clock, () => held.readValues(ids));
    const changes = ids.map((id) => held.change(id));
    const names = await projects(projectsOf(rows), source);
    const { units, unnamed, leftOut } = plan(changes, { found: held.found, rows, projects: names, settings, addresses, born: () => birth() });
    options.leftOut.push(...leftOut);
    if (!options.dryRun) options.onWrote(changes.filter((change) => unnamed.has(change.id)));
    phase.correct += ids.length - units.length;
    const doubtful = new Set([...units.map((unit) => unit.change.id), ...unnamed, ...leftOut.map(({ id }) => id)]);
    right?.compared(
      ids.filter((id) => !doubtful.has(id)),
      states,
      rows,
      names,
    );
    await repair(units, options, phase);
    for (const change of changes) held.seen(change.id);
    options.progress();
  }
  right?.end();
  if (only) return;
  const { units } = plan(held.unseen(), { found: held.found, rows: noRows, projects: new Map(), settings, addresses, born: () => birth() });
  await repair(units, options, phase);
  phase.deleted += await held.removeUnreadable(options.dryRun);
}

/** Begins a pass over all ports. What they share is read before any of them: a change meanwhile then makes the next resync read them. */
async function beginPass({ etcd, source, projects, addresses, rightPorts }: Pass): Promise<RightPortsPass> {
  const { revision, found } = await etcd.get(felixConfigurationKey);
  const stamp = await source.sharedStamp();
  const rules = [addresses.policy, addresses.infrastructure.addresses] as const;
  const common = stamp === undefined ? undefined : { stamp, felixConfiguration: found?.modRevision, rules };
  return rightPorts.begin(common, revision, await projects(rightPorts.projects, source));
}

/** Passes over the ports that are known to be right. `states` gets the state of each of the others. */
async function passOver(right: RightPortsPass, held: Held, states: Map<string, string>, turn: Turn, { source, progress }: Pass, phase: Phase): Promise<void> {
  for (let after = ''; ; ) {
    await turn();
    const stamps = await source.portStamps(after, stampsSize);
    const last = stamps.at(-1);
    if (!last) return;
    for (const [id, stamp] of stamps) {
      const state = `${stamp};${held.revisions(id)}`;
      if (!right.isRight(id, state)) {
        states.set(id, state);
        continue;
      }
      held.seen(id);
      phase.neutron_items += 1;
      phase.correct += 1;
    }
    after = last[0];
    progress();
  }
}

type Batch = { readonly ids: readonly string[]; readonly rows: Rows };

/** Reads all of Neutron's objects of a kind, in pages. The next page is read while one is compared. Rows may be slightly old, because differing objects are read again before a write. */
async function* pages(kind: PagedKind, source: Background, turn: Turn): AsyncGenerator<Batch, undefined> {
  const read = (after: string): Promise<Batch> => turn().then(() => source.page(kind, after, pageSize));
  for (let reading = read(''); ; ) {
    const page = await reading;
    const last = page.ids.at(-1);
    if (last === undefined) return;
    reading = read(last);
    reading.catch(() => {}); // the error is thrown when the page is needed
    yield page;
  }
}

/** Reads the objects with these ids, in batches, and the next one while one is compared. Objects that Neutron does not have any more are removed from etcd. */
async function* namedBatches(kind: ComparedKind, ids: readonly string[], source: Background, turn: Turn): AsyncGenerator<Batch, undefined> {
  const read = async (start: number): Promise<Batch> => {
    const some = ids.slice(start, start + pageSize);
    if (some.length === 0) return { ids: some, rows: noRows };
    await turn();
    return { ids: some, rows: await source.rows({ ...noRowsQuestion, [kind]: some }) };
  };
  for (let start = 0, reading = read(0); start < ids.length; start += pageSize) {
    const batch = await reading;
    reading = read(start + pageSize);
    reading.catch(() => {}); // the error is thrown when the batch is needed
    yield batch;
  }
}

/** Returns a function that returns the whole milliseconds since then. */
function stopwatch(clock: Pick<Clock, 'steadyMs'>): () => number {
  const startedMs = clock.steadyMs();
  return () => Math.round(clock.steadyMs() - startedMs);
}

async function timed<T>(
  phase: Phase,
  field: 'total_ms' | 'etcd_read_ms' | 'neutron_read_ms',
  clock: Pick<Clock, 'steadyMs'>,
  work: () => Promise<T>,
): Promise<T> {
  const took = stopwatch(clock);
  try {
    return await work();
  } finally {
    phase[field] += took();
  }
}

async function repair(units: readonly Unit[], options: Pass, phase: Phase): Promise<void> {
  if (options.dryRun) {
    for (const unit of units) phase[verdict(unit)] += 1;
    return;
  }
  let start = 0;
  const work = async (): Promise<void> => {
    while (start < units.length) {
      const batch = units.slice(start, start + batchSize);
      start += batchSize;
      await repairBatch(batch, options, phase);
      options.progress();
    }
  };
  await Promise.all(Array.from({ length: batchesAtOnce }, work));
}

async function repairBatch(units: readonly Unit[], options: Pass, phase: Phase): Promise<void> {
  const { sync, source, onWrote, onFailed, onWarning, clock } = options;
  const [only, ...others] = units;
  if (!only) return;
  try {
    const result = await sync(
      units.map((unit) => unit.change),
      source,
      clock.nowMs() + deadlineMs,
    );
    onWrote([...result.wrote, ...result.followUps]);
    for (const warning of result.warnings) onWarning(warning.object, warning.what);
    const wrote = new Set(result.wrote.map(changeKey));
    for (const unit of units) if (wrote.has(changeKey(unit.change))) phase[verdict(unit)] += 1;
  } catch (error) {
    if (!(error instanceof EtcdError) || error.code !== 'ETCD_REFUSED') throw error;
    // One tenant's object may be too large for etcd, for example. It must not hold up the others, so each is tried by itself.
    if (others.length > 0) for (const unit of units) await repairBatch([unit], options, phase);
    else {
      phase.failed += 1;
      onFailed(only.change, error);
    }
  }
}

/** Whether the unit's operations create, update or delete the object. */
function verdict(unit: Unit): 'created' | 'updated' | 'deleted' {
  if (unit.operations.every((operation) => 'delete' in operation)) return 'deleted';
  const fresh = unit.compares.some((compare) => 'modRevision' in compare && compare.modRevision === 0);
  return fresh ? 'created' : 'updated';
}
