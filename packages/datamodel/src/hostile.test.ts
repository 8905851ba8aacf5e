import { describe, expect, test } from 'vitest';
import { parseFelixStatusKey, parseResourceKey, resourcePrefix } from './keys.ts';
import { type Decoded, decodeResource } from './resource.ts';
import { decodeAgentStatus, decodeEndpointStatus } from './status.ts';
import { decodeSubnet } from './subnet.ts';
import { hostileWrites } from './testing/hostile.ts';
import { hostileEndpoint, hostileSubnet } from './testing/hostile-kinds.ts';
import { decodeWorkloadEndpoint } from './workload-endpoint.ts';

const prefix = resourcePrefix('workloadendpoints', 'openstack');

describe('whatever the bytes are, they are a value or refused with a short reason:', () => {
  test.each<[string, object, (bytes: Uint8Array) => Decoded<unknown>]>([
    ['a resource', hostileEndpoint, decodeResource],
    ['a WorkloadEndpoint', hostileEndpoint, decodeWorkloadEndpoint],
    ['a subnet', hostileSubnet, decodeSubnet],
    ["an agent's status", { time: '2026-11-24T00:00:00Z', uptime: 1, first_update: true }, decodeAgentStatus],
    ["an endpoint's status", { status: 'up' }, decodeEndpointStatus],
  ])('%s', (_, example, decode) => {
    const next = hostileWrites([{ prefix, names: ['x'], examples: [example] }], 1);
    let understood = 0;
    for (let count = 0; count < 5000; count += 1) {
      const { key, value } = next();
      parseResourceKey(key);
      parseFelixStatusKey(undefined, key);
      const result = value && decode(value);
      if (result?.ok) understood += 1;
      else if (result) expect(result.reason.length).toBeLessThan(600);
    }
    expect(understood).toBeGreaterThan(500); // a fair share of the values is valid
  });
});
