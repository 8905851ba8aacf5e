// The registers by which expressions pass values on, and numbers that several expressions share (linux/netfilter/nf_tables.h).

/** The first of the sixteen registers of four bytes; 0 is the verdict. */
export const firstRegister = 8;
/** The number of registers of four bytes. */
export const registers = 16;
/** The register of the verdict. */
export const verdictRegister = 0;
/** The last register: no key is that long where a mark is kept in it. */
export const markRegister = 23;

/** The operations of `cmp` and `range`. */
export const operation = { equal: 0, notEqual: 1 } as const;
/** The inverting flag of `lookup`, `limit` and `connlimit`. */
export const inverted = 1;
/** The kernel's numbers of the families: NFPROTO_IPV4, NFPROTO_IPV6. */
export const nfProtocol = { 4: 2, 6: 10 } as const;
