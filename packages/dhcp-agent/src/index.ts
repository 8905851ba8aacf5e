export { type Agent, startAgent } from './agent.ts';
export { type AgentOptions, parseOptions, readOptions } from './options.ts';
