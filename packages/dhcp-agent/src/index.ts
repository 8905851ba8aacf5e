export { type Agent, startAgent } from './agent.ts';
export { type AgentOptions, agentOptions, readOptions } from './option-table.ts';
