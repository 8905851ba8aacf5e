// The agent's Prometheus metrics.
import { addProcessMetrics, Counter, Gauge, Registry } from '@calico-openstack/agent';
import type { Refusal } from './audit.ts';
import type { ProtocolStatus } from './bird/daemon.ts';
import type { SessionStatus } from './bird/sessions.ts';

/** The metrics that the agent sets. */
export interface Metrics {
  readonly registry: Registry;
  inSync(yes: boolean): void;
  birdUp(yes: boolean): void;
  problems(count: number): void;
  /** Sets whether BIRD, or the agent itself, refuses the newest configuration, so that the last good one is in force. */
  refused(yes: boolean): void;
  refusals(refusals: readonly Refusal[]): void;
  reconfigured(result: 'configured' | 'refused'): void;
}

/**
 * Creates the metrics.
 * @param sessions called when the metrics are read; undefined while BIRD is away
 * @param peers called for the sessions of BGPPeers; an empty list while BIRD is away
 */
export function agentMetrics(sessions: () => Promise<readonly ProtocolStatus[] | undefined>, peers: () => Promise<readonly SessionStatus[]>): Metrics {
  const registry = new Registry();
  const registers = [registry];
  addProcessMetrics(registry);
  const gauge = (name: string, help: string): Gauge => new Gauge({ name: `calico_bird_agent_${name}`, help, registers });
  const inSync = gauge('in_sync', 'Whether the whole datastore has been read.');
  const up = gauge('bird_up', 'Whether BIRD answers at its control socket.');
  const problems = gauge('problems', 'Resources and settings that are not applied as written.');
  const refused = gauge('configuration_refused', 'Whether the configuration in force is an older one, because the newest was refused.');
  const refusedRoutes = new Gauge({
    name: 'calico_bird_agent_refused_routes',
    help: 'Routes that a neighbour announces and that are refused, by session; sessions without refused routes are left out.',
    labelNames: ['session'],
    registers,
  });
  const reconfigurations = new Counter({
    name: 'calico_bird_agent_reconfigurations_total',
    help: 'Configurations handed to BIRD, by result.',
    labelNames: ['result'],
    registers,
  });
  new Gauge({
    name: 'calico_bird_agent_bgp_sessions',
    help: 'BGP sessions, by whether they are established.',
    labelNames: ['established'],
    registers,
    async collect() {
      const bgp = (await sessions())?.filter(({ type }) => type === 'BGP') ?? [];
      const established = bgp.filter(({ detail }) => detail === 'Established').length;
      this.set({ established: 'true' }, established);
      this.set({ established: 'false' }, bgp.length - established);
    },
  });
  new Gauge({
    name: 'calico_bird_agent_session_established',
    help: 'Whether a session is established, by session; the mesh has one for each host, and is counted in calico_bird_agent_bgp_sessions alone.',
    labelNames: ['session'],
    registers,
    async collect() {
      this.reset();
      for (const { name: session, state } of await peers()) this.set({ session }, state === 'Established' ? 1 : 0);
    },
  });
  new Gauge({
    name: 'calico_bird_agent_session_routes',
    help: 'Routes of a session, by session and by whether they are imported, filtered (not accepted) or exported. Sessions of the mesh are left out.',
    labelNames: ['session', 'routes'],
    registers,
    async collect() {
      this.reset();
      for (const { name: session, routes } of await peers()) for (const [what, count] of Object.entries(routes)) this.set({ session, routes: what }, count);
    },
  });
  const set =
    (of: Gauge) =>
    (yes: boolean): void =>
      of.set(yes ? 1 : 0);
  return {
    registry,
    inSync: set(inSync),
    birdUp: set(up),
    problems: (count) => problems.set(count),
    refused: set(refused),
    refusals(all) {
      refusedRoutes.reset();
      for (const { session, count } of all) refusedRoutes.set({ session }, count);
    },
    reconfigured: (result) => reconfigurations.inc({ result }),
  };
}
