import { noInfrastructure } from '../addressing/infrastructure.ts';
import { type AddressRules, defaultAddressPolicy } from '../addressing/rules.ts';
import type { PortRow } from '../rows.ts';
import { ownsEndpoint } from '../translate/endpoint.ts';

export { defaultQosOptions } from '../translate/qos.ts';

export const plainAddresses: AddressRules = { policy: defaultAddressPolicy, infrastructure: noInfrastructure };
/** Nothing but what no host can have is forbidden. */
export const addresses = async (): Promise<AddressRules> => plainAddresses;

/** Whether the rows process would bring this port, by its owner. */
export const ownsAll = (port: PortRow | undefined): boolean => port !== undefined && ownsEndpoint(port.device_owner);
