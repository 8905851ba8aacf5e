// The values that Felix reports to etcd: its heartbeat, and the state of each endpoint. The format is upstream's.
import { agentStatusKey, type ListedAgent } from './keys.ts';
import { type Decoded, decoded, decodeJsonObject, refused, show } from './resource.ts';

/** Felix's heartbeat. */
export type AgentStatus = {
  /** When it was written: RFC 3339, UTC. */
  readonly time: string;
  readonly uptimeSeconds: number;
  /** True until the first heartbeat since the agent's start was written. */
  readonly firstUpdate: boolean;
};

/** The states of an endpoint. */
export const endpointStatuses = ['up', 'down', 'error'] as const;
/** One of `endpointStatuses`. */
export type EndpointStatus = (typeof endpointStatuses)[number];

/** A time in RFC 3339 with whole seconds and `Z`, as upstream writes it. */
export const rfc3339Seconds = (time: Date): string => `${time.toISOString().slice(0, 19)}Z`;

/** The JSON text of a heartbeat. */
export function encodeAgentStatus(status: AgentStatus): string {
  return JSON.stringify({ time: status.time, uptime: status.uptimeSeconds, first_update: status.firstUpdate });
}

/** The texts of an agent's heartbeats. `startedAtMs`: when the agent started, in milliseconds since the epoch. */
export function heartbeatTexts(startedAtMs: number): { at(nowMs: number): string; written(): void } {
  let firstUpdate = true;
  return {
    /** The text of a heartbeat that is written now. */
    at: (nowMs) => encodeAgentStatus({ time: rfc3339Seconds(new Date(nowMs)), uptimeSeconds: (nowMs - startedAtMs) / 1000, firstUpdate }),
    /** A heartbeat has been written. */
    written() {
      firstUpdate = false;
    },
  };
}

/** The heartbeats of an agent beside Felix, for a writer under a lease. `startedAtMs`: when it started, in milliseconds since the epoch. */
export function agentHeartbeat(region: string | undefined, host: string, agent: ListedAgent, startedAtMs: number) {
  const texts = heartbeatTexts(startedAtMs);
  return {
    /** How often a heartbeat is written, and how long it is valid: Felix's defaults. */
    intervalMs: 30_000,
    ttlSeconds: 90,
    /** What to write now, under this lease. */
    operations: (lease: string, nowMs: number) => [{ put: agentStatusKey(region, host, agent), value: texts.at(nowMs), lease }],
    /** A heartbeat has been written. */
    onWritten: texts.written,
  };
}

/** Decodes a heartbeat. Only `time` must be valid. */
export function decodeAgentStatus(bytes: Uint8Array): Decoded<AgentStatus> {
  const object = decodeJsonObject(bytes);
  if (!object.ok) return object;
  const { time, uptime, first_update } = object.value;
  if (typeof time !== 'string' || Number.isNaN(Date.parse(time))) return refused(`time ${show(time)} is not a time`);
  return decoded({ time, uptimeSeconds: typeof uptime === 'number' ? uptime : 0, firstUpdate: first_update === true });
}

/** The JSON text of an endpoint's state. */
export const encodeEndpointStatus = (status: EndpointStatus): string => JSON.stringify({ status });

/** Decodes an endpoint's state; refuses unknown states. */
export function decodeEndpointStatus(bytes: Uint8Array): Decoded<EndpointStatus> {
  const object = decodeJsonObject(bytes);
  if (!object.ok) return object;
  const { status } = object.value;
  return (endpointStatuses as readonly unknown[]).includes(status) ? decoded(status as EndpointStatus) : refused(`status ${show(status)} is not known`);
}
