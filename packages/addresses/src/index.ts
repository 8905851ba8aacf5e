export * from './ip.ts';
export * from './link-local.ts';
export * from './mac.ts';
