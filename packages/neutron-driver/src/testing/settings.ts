import type { PortRow } from '../rows.ts';
import { ownsEndpoint } from '../translate/endpoint.ts';

export { defaultQosOptions } from '../translate/qos.ts';

/** Whether the rows process would bring this port, by its owner. */
export const ownsAll = (port: PortRow | undefined): boolean => port !== undefined && ownsEndpoint(port.device_owner);
