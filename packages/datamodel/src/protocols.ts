// The protocols whose ports Calico's rules and endpoints can name.

/** TCP, UDP and SCTP, by their IP protocol numbers. UDP-Lite and DCCP have ports too, but Calico matches none for them. */
export const portProtocols: readonly number[] = [6, 17, 132];

/** Whether a rule for this protocol may name ports. */
export const hasPorts = (protocol: number | undefined): boolean => protocol !== undefined && portProtocols.includes(protocol);

const numbers: ReadonlyMap<string, number> = new Map(Object.entries({ tcp: 6, udp: 17, sctp: 132, '6': 6, '17': 17, '132': 132 }));

/** The number of a protocol that has ports, from the datastore's `TCP`, `tcp`, `6` or `"6"`; undefined for anything else. */
export const parsePortProtocol = (value: unknown): number | undefined =>
  typeof value === 'string' || typeof value === 'number' ? numbers.get(String(value).toLowerCase()) : undefined;
