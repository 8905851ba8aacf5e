import { expect, test } from 'vitest';
import { printConfiguration, textOf } from '../bird/print.ts';
import { host, lookups, nodeSpec, resourcesOf, type Specs } from '../testing/facts.ts';
import { type Doubt, returnMs, sessionsInDoubt } from './doubt.ts';
import { plan } from './plan.ts';

function configurationOf(specs: Specs): string {
  const planned = plan(resourcesOf({ 'nodes/h1': nodeSpec(1), ...specs }), host(), lookups);
  if (!planned.ok) throw new Error('no plan');
  return textOf(printConfiguration(planned.configuration));
}

const secret = { secretKeyRef: { name: 'bgp', key: 'tor' } };
const others: Specs = { 'nodes/h2': nodeSpec(2), 'nodes/h3': nodeSpec(3) };
const withTor: Specs = { ...others, 'bgppeers/tor': { peerIP: '192.0.2.250', asNumber: 7 } };
const withPassword: Specs = { ...others, 'bgpconfigurations/default': { nodeMeshPassword: secret } };
const meshOf3 = ["'mesh4-h3'", "'mesh6-h3'"];
const madeMs = 1_000_000;
const soonMs = madeMs + returnMs - 1;
const lateMs = madeMs + returnMs;

test.each<{ readonly what: string; readonly before: Specs; readonly now: Specs; readonly facts?: Partial<Doubt>; readonly doubted: readonly string[] }>([
  { what: 'hosts that have not registered again yet', before: others, now: { 'nodes/h2': nodeSpec(2) }, doubted: meshOf3 },
  { what: 'a host that has another name now', before: others, now: { 'nodes/h2': nodeSpec(2), 'nodes/new': nodeSpec(3) }, doubted: [] },
  { what: 'hosts that do not come back', before: others, now: { 'nodes/h2': nodeSpec(2) }, facts: { nowMs: lateMs }, doubted: [] },
  { what: 'all hosts back, and one more', before: others, now: { ...others, 'nodes/h4': nodeSpec(4) }, doubted: [] },
  { what: 'a configuration that this datastore has asked for', before: others, now: {}, facts: { writtenMs: madeMs + 1000 }, doubted: [] },
  { what: 'a Node of unknown age', before: others, now: {}, facts: { nodeMadeMs: undefined }, doubted: [] },
  { what: 'a Node of the future', before: others, now: {}, facts: { nodeMadeMs: lateMs + 1, nowMs: lateMs }, doubted: [] },
  { what: 'an operator’s peer, before anybody has said anything', before: withTor, now: others, facts: { nowMs: 100 * lateMs }, doubted: ["'peer4-tor'"] },
  { what: 'an operator’s peer, after an operator’s word', before: withTor, now: others, facts: { nowMs: lateMs, hasOperatorsWord: true }, doubted: [] },
  {
    what: 'a mesh whose password is gone',
    before: withPassword,
    now: others,
    facts: { nowMs: lateMs },
    doubted: ["'mesh4-h2'", ...meshOf3.slice(0, 1), "'mesh6-h2'", "'mesh6-h3'"],
  },
  { what: 'a file that is not the agent’s', before: {}, now: {}, facts: { current: 'protocol bgp tor {\n}\n' }, doubted: [] },
])('after the datastore was emptied: $what', ({ before, now, facts, doubted }) => {
  const doubt = {
    current: configurationOf(before),
    writtenMs: madeMs - 1,
    wanted: configurationOf(now),
    nodeMadeMs: madeMs,
    hasOperatorsWord: false,
    nowMs: soonMs,
  };
  expect(sessionsInDoubt({ ...doubt, ...facts })).toEqual(doubted);
});
