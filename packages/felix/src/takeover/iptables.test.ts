import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { leadsThroughUpstream, removalOf } from './iptables.ts';
import { isUpstreamIpset, isUpstreamTunnel } from './upstream.ts';

const recorded = (name: string): string => readFileSync(new URL(`../testing/leavings/${name}`, import.meta.url), 'utf8');
const mark = '-m comment --comment "cali:AAAAAAAAAAAAAAAA"';
const filter = (...lines: readonly string[]): string => `*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n${lines.join('\n')}\nCOMMIT\n`;

describe('what takes upstream’s chains away', () => {
  test.each(['iptables.save', 'ip6tables.save'])('of what it leaves in %s everything, and nothing that would stay in the way', (name) => {
    const saved = recorded(name);
    const { script, left } = removalOf(saved);
    expect(left).toEqual([]);
    const chains = [...saved.matchAll(/^:(cali-\S+)/gm)].map(([, chain]) => chain);
    expect([...script.matchAll(/^-X (\S+)/gm)].map(([, chain]) => chain)).toEqual(chains);
    const inOthers = saved.split('\n').filter((line) => /^-A (?!cali-)/.test(line));
    expect(script.split('\n').filter((line) => line.startsWith('-D '))).toEqual(inOthers.map((line) => line.replace(/^-A/, '-D')));
    expect(leadsThroughUpstream(saved)).toBe(true);
  });

  test('of a table without it nothing, whatever words its rules hold', () => {
    const saved = filter(
      ':DOCKER - [0:0]',
      '-A FORWARD -m comment --comment "say --comment cali:AAAAAAAAAAAAAAAA" -j ACCEPT',
      '-A FORWARD -m comment --comment "a \\" -j cali-FORWARD" -j DOCKER',
      '-A FORWARD -m comment --comment cali:tooshort -j DOCKER',
    );
    expect(removalOf(saved)).toEqual({ script: '', left: [] });
    expect(leadsThroughUpstream(saved)).toBe(false);
    expect(removalOf('')).toEqual({ script: '', left: [] });
  });

  test('a chain of such a name with a rule that is not its own stays, with that rule alone; one that such a rule leads to is emptied', () => {
    const saved = filter(
      ':cali-FORWARD - [0:0]',
      ':cali-mine - [0:0]',
      `-A FORWARD ${mark} -j cali-FORWARD`,
      `-A cali-mine -s 192.0.2.1/32 -j cali-FORWARD`,
      `-A cali-mine ${mark} -j ACCEPT`,
    );
    const { script, left } = removalOf(saved);
    expect(script).toBe(`*filter\n-D FORWARD ${mark} -j cali-FORWARD\n-D cali-mine ${mark} -j ACCEPT\n-F cali-FORWARD\nCOMMIT\n`);
    expect(left).toEqual([
      'chain cali-FORWARD of table filter, emptied: a rule that is not Felix’s leads to it',
      'chain cali-mine of table filter: it holds a rule that is not Felix’s',
    ]);
  });

  test('chains that nothing leads to police nobody', () => {
    expect(leadsThroughUpstream(filter(':cali-FORWARD - [0:0]', `-A cali-FORWARD ${mark} -j DROP`))).toBe(false);
    expect(leadsThroughUpstream(filter(':cali-FORWARD - [0:0]', '-A FORWARD -j cali-FORWARD'))).toBe(false);
    expect(leadsThroughUpstream(filter(':cali-FORWARD - [0:0]', `-A FORWARD ${mark} -j cali-FORWARD`))).toBe(true);
  });
});

test('of ipsets and devices only those go that upstream names so', () => {
  const names = [...recorded('ipset.save').matchAll(/^create (\S+)/gm)].map(([, name]) => name!);
  expect(names.length).toBeGreaterThan(0);
  for (const name of [...names, 'cali40s:0dk0NlC_ml1heO9wHzUqabc', 'cali60n:0dk0NlC_ml1heO9wHzUqabc', 'cali4t0'])
    expect(isUpstreamIpset(name), name).toBe(true);
  for (const name of ['cali40', 'cali40mine', 'mine', 'calico', 'cali50s:x', 'xcali40this-host']) expect(isUpstreamIpset(name), name).toBe(false);
  expect(isUpstreamTunnel({ name: 'vxlan.calico', kind: 'vxlan' })).toBe(true);
  for (const link of [
    { name: 'vxlan.calico', kind: 'dummy' },
    { name: 'vxlan0', kind: 'vxlan' },
    { name: 'tunl0', kind: 'ipip' },
  ])
    expect(isUpstreamTunnel(link)).toBe(false);
});
