// What Felix reports: that it lives, and how each endpoint is.
import { type Decoded, decoded, decodeJsonObject, refused, show } from './resource.ts';

export type AgentStatus = {
  /** RFC 3339, UTC */ readonly time: string;
  readonly uptimeSeconds: number /** Until the first report was written. */;
  readonly firstUpdate: boolean;
};

export const endpointStatuses = ['up', 'down', 'error'] as const;
export type EndpointStatus = (typeof endpointStatuses)[number];

/** Whole seconds and `Z`, as upstream writes it. */
export const rfc3339Seconds = (time: Date): string => `${time.toISOString().slice(0, 19)}Z`;

export function encodeAgentStatus(status: AgentStatus): string {
  return JSON.stringify({ time: status.time, uptime: status.uptimeSeconds, first_update: status.firstUpdate });
}

export function decodeAgentStatus(bytes: Uint8Array): Decoded<AgentStatus> {
  const object = decodeJsonObject(bytes);
  if (!object.ok) return object;
  const { time, uptime, first_update } = object.value;
  if (typeof time !== 'string' || Number.isNaN(Date.parse(time))) return refused(`time ${show(time)} is not a time`);
  return decoded({ time, uptimeSeconds: typeof uptime === 'number' ? uptime : 0, firstUpdate: first_update === true });
}

export const encodeEndpointStatus = (status: EndpointStatus): string => JSON.stringify({ status });

export function decodeEndpointStatus(bytes: Uint8Array): Decoded<EndpointStatus> {
  const object = decodeJsonObject(bytes);
  if (!object.ok) return object;
  const { status } = object.value;
  return (endpointStatuses as readonly unknown[]).includes(status) ? decoded(status as EndpointStatus) : refused(`status ${show(status)} is not known`);
}
