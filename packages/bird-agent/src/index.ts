// The public interface of the room.
export { startBirdAgent } from './agent.ts';
export { type Config, readOptions } from './option-table.ts';
