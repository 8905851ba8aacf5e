// Address families as the kernel numbers them.
import type { IpFamily } from '@calico-openstack/addresses';

/** AF_INET and AF_INET6. */
export const addressFamily: { readonly [family in IpFamily]: number } = { 4: 2, 6: 10 };

/** The family that the kernel's number stands for; undefined for every other family (bridge, MPLS …). */
export const familyOfNumber = (number: number): IpFamily | undefined => (number === 2 ? 4 : number === 10 ? 6 : undefined);
