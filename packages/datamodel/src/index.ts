export * from './desired.ts';
