import { noInfrastructure } from '../addressing/infrastructure.ts';
import { type AddressRules, defaultAddressPolicy } from '../addressing/rules.ts';
import type { PortRow } from '../rows.ts';
import { ownsEndpoint } from '../translate/endpoint.ts';

export { defaultQosOptions } from '../translate/qos.ts';

/** Rules without an operator's options and without addresses of the cloud's own. */
export const plainAddresses: AddressRules = { policy: defaultAddressPolicy, infrastructure: noInfrastructure };
/** The same, as `SyncOptions` needs it: only addresses that no host can have are refused. */
export const addresses = async (): Promise<AddressRules> => plainAddresses;

/** Whether a page of the rows process would contain this port, by its owner. */
export const ownsAll = (port: PortRow | undefined): boolean => port !== undefined && ownsEndpoint(port.device_owner);
