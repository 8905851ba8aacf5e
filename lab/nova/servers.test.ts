import { expect, test } from 'vitest';
import type { HttpAnswer } from '../http.ts';
import type { Lab } from '../lab.ts';
import { until } from '../wait.ts';
import type { Nova } from './nova.ts';
import { servers } from './servers.ts';

/** The operator's requests to a Nova that shows these statuses one after the other, and then the last one for ever. */
function operatorOf(...statuses: readonly string[]): ReturnType<typeof servers> {
  const left = [...statuses];
  const ask = async (): Promise<HttpAnswer> => {
    const status = left.length > 1 ? left.shift() : left[0];
    const server = { id: 'id', name: 'vm', status, 'OS-EXT-STS:task_state': null, 'OS-EXT-SRV-ATTR:host': 'host-1', fault: { message: 'no valid host' } };
    return { status: 200, headers: {}, body: JSON.stringify({ server }) };
  };
  return servers({ openstack: { ask }, processes: { until } } as unknown as Lab, { api: { socket: 'nova' } } as Nova);
}

test('a wait for a server ends with what it waits for, at once when the server is in ERROR, and when the time is over', async () => {
  const host = ({ status, 'OS-EXT-SRV-ATTR:host': name }: { status: string; 'OS-EXT-SRV-ATTR:host': string | null }) =>
    (status === 'ACTIVE' && name) || undefined;
  expect(await operatorOf('BUILD', 'ACTIVE').watch('it', 'id', host)).toBe('host-1');
  await expect(operatorOf('MIGRATING', 'ERROR').watch('it', 'id', host)).rejects.toThrow('the server vm is in ERROR: no valid host');
  await expect(operatorOf('BUILD').watch('its start', 'id', host, 1)).rejects.toThrow('gave up waiting for its start');
});

test('an action whose server ends in ERROR is refused with the fault that Nova gives', async () => {
  await expect(operatorOf('ACTIVE', 'MIGRATING', 'ERROR').act('id', { migrate: null }, 'VERIFY_RESIZE')).rejects.toThrow('no valid host');
});
