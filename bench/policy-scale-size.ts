// Runs one size of the bench. It needs a process of its own, so that the resident memory is that of one calculation. Usage: policy-scale-size.ts ENDPOINTS. Prints measurements as JSON.
import { createPolicyCalculation } from '@calico-openstack/policy';
import { type Measurement, percentiles } from './bench.ts';
import { endpoint, host, localEndpoints, namedGroup, policies, policyForAll, securityGroup, type Update } from './policy-scale-cluster.ts';

const size = Number(process.argv[2]);
const calculation = createPolicyCalculation({ host });
const results: Measurement[] = [];

const ms = (work: () => void): number => {
  const start = process.hrtime.bigint();
  work();
  return Number(process.hrtime.bigint() - start) / 1e6;
};
const rounded = (value: number): number => Math.round(value * 1000) / 1000;
const settle = (updates: readonly Update[]): number =>
  ms(() => {
    for (const [key, value] of updates) calculation.update(key, value);
    calculation.flush();
  });
/** Measures each step. Its values are made before the clock starts. */
const each = (count: number, step: (index: number) => readonly Update[]): number[] => Array.from({ length: count }, (_, index) => settle(step(index)));
const range = (first: number, count: number): number[] => Array.from({ length: count }, (_, index) => first + index);

// The start, with values in the order of a snapshot: policies, then endpoints, in pages, and one flush at the end.
let startMs = 0;
const page = (updates: readonly Update[]): void => {
  startMs += ms(() => {
    for (const [key, value] of updates) calculation.update(key, value);
  });
};
page(range(0, policies).map((group) => securityGroup(group)));
for (let first = 0; first < size; first += 1000) page(range(first, Math.min(1000, size - first)).map((number) => endpoint(number)));
startMs += ms(() => calculation.flush());
results.push({ metric: 'start of day, s', at: size, value: rounded(startMs / 1000), ...(size === 100_000 && { target: 6 }) });
results.push({
  metric: 'resident after start of day, peak MB',
  at: size,
  value: Math.round(process.resourceUsage().maxRSS / 1024),
  ...(size === 100_000 && { target: 400 }),
});
globalThis.gc?.();
results.push({ metric: 'heap after start of day, MB', at: size, value: Math.round(process.memoryUsage().heapUsed / 2 ** 20) });

// Groups with few members and with all endpoints as members, one of them local. A remote member is added, and removed again while the clock stands still.
const members = [...new Set([100, size])];
members.forEach((count, group) => {
  const name = `group-of-${count}`;
  const member = (index: number): number => 2_000_000 + group * 500_000 + index;
  const remote = (index: number): Update => endpoint(member(index), { groups: [name], host: 'compute-9' });
  settle([namedGroup(name), endpoint(member(0), { groups: [name], host })]);
  for (let first = 1; first < count; first += 1000) settle(range(first, Math.min(1000, count - first)).map(remote));
  const joined = range(count, 500).map((index) => {
    const ms = settle([remote(index)]);
    settle([[remote(index)[0], undefined]]);
    return ms;
  });
  results.push(...percentiles(`remote endpoint added to a group of ${count}`, joined, size, 1));
});

/** Collects the garbage of a phase before the next one. Otherwise a full collection, which slows everything down, would fall into a different phase in each run. */
const collect = (): void => globalThis.gc?.();

collect();
const newcomer = 3_500_000;
const groupsOf = (index: number): number[] => range(0, 5).map((step) => ((index * 37) % (policies / 10)) * 10 + step);
results.push(
  ...percentiles(
    'local endpoint added with 5 groups',
    each(200, (index) => [endpoint(newcomer + index, { groups: groupsOf(index), host })]),
    size,
    2,
  ),
);
results.push(
  ...percentiles(
    'local endpoint removed',
    each(200, (index) => [[endpoint(newcomer + index, { groups: groupsOf(index), host })[0], undefined]]),
    size,
  ),
);

collect();
settle([policyForAll(10)]);
results.push(
  ...percentiles(
    `rule added to a policy of all ${localEndpoints} local endpoints`,
    each(200, (index) => [policyForAll(11 + (index % 20))]),
    size,
    5,
  ),
);

// Mixed changes in batches of ten: endpoints are added, removed, change groups or are written without a change; groups change their rules. One change in fifty is of a local endpoint.
collect();
const batches = 500;
let churnMs = 0;
for (let batch = 0; batch < batches; batch += 1) {
  const number = (step: number): number => localEndpoints + ((batch * 131 + step * 17) % Math.max(1, size - localEndpoints));
  const updates: Update[] = [
    endpoint(number(0), { groups: [batch % policies] }),
    endpoint(number(1), { groups: [(batch * 7) % policies, (batch * 11) % policies] }),
    endpoint(number(2), { note: `${batch}` }),
    endpoint(number(3), { note: `${batch}` }),
    [endpoint(number(4))[0], undefined],
    endpoint(number(4)),
    endpoint(4_000_000 + batch),
    batch % 5 === 0 ? endpoint(batch % localEndpoints, { groups: [(batch * 13) % policies] }) : endpoint(number(5), { groups: [(batch * 23) % policies] }),
    securityGroup((batch * 17) % policies, 1 + (batch % 1000)),
    securityGroup((batch * 19) % policies, 1 + (batch % 1000)),
  ];
  churnMs += settle(updates);
}
results.push({ metric: 'mixed churn, ms for 1000 updates', at: size, value: rounded((churnMs / (batches * 10)) * 1000), target: 200 });
results.push({ metric: 'resident at the end, peak MB', at: size, value: Math.round(process.resourceUsage().maxRSS / 1024) });

process.stdout.write(`${JSON.stringify(results)}\n`);
