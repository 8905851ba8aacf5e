// Where expressions leave values for one another, and the numbers that several of them share (linux/netfilter/nf_tables.h).

/** The first of the sixteen registers of four bytes; 0 is the verdict. */
export const firstRegister = 8;
export const registers = 16;
export const verdictRegister = 0;
/** The last one: no key reaches so far where a mark is kept in it. */
export const markRegister = 23;

/** Of `cmp` and `range`. */
export const operation = { equal: 0, notEqual: 1 } as const;
/** The flag of `lookup`, `limit` and `connlimit`. */
export const inverted = 1;
/** NFPROTO_IPV4, NFPROTO_IPV6 */
export const nfProtocol = { 4: 2, 6: 10 } as const;
