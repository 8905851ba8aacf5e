export { type Answer, createOracle, type Direction, type Oracle, type Packet, type Question, type Reason, type RuleAt, type Say } from './judge.ts';
