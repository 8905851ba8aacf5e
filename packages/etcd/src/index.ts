export { connectEtcd } from './client.ts';
export { type Election, type ElectionOptions, elect } from './elect.ts';
export { EtcdError, type EtcdErrorCode, isTransient } from './errors.ts';
export { type LeasedWriter, type LeasedWriterOptions, writeUnderLease } from './leased-writer.ts';
export { isSameEtcd, type Origin } from './origin.ts';
export { type EtcdReads, readOnce } from './read-once.ts';
export * from './types.ts';
