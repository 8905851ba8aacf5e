export * from './backoff.ts';
export * from './health.ts';
export * from './http.ts';
export * from './ini.ts';
export * from './log.ts';
export * from './loop.ts';
export * from './main.ts';
export * from './metrics.ts';
