export type { Failsafe, HostOnPath, HostPath, PathAnswer } from './host-path.ts';
export {
  type Answer,
  createOracle,
  type Direction,
  type HostQuestion,
  type Oracle,
  type Packet,
  type Place,
  type Question,
  type Reason,
  type RuleAt,
  type Say,
} from './judge.ts';
