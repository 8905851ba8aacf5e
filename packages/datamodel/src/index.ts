export * from './addresses.ts';
export * from './desired.ts';
export * from './keys.ts';
export * from './names.ts';
export * from './resource.ts';
export * from './status.ts';
export * from './subnet.ts';
export * from './workload-endpoint.ts';
