// The room's public face: what others than the executable may want of it.
export { startBirdAgent } from './agent.ts';
export { type Config, readOptions } from './option-table.ts';
