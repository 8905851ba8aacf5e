import { describe, expect, test } from 'vitest';
import type { FoundAddress, HeldAddress } from './addresses.ts';
import { createAddressKeeper } from './keeper.ts';

const holdMs = 90_000;
const found = (address: string | undefined, isGuess = false): FoundAddress => ({ address, isGuess });
const registered = (text: string, held: 'up' | 'down' | 'gone') => ({
  address: text.split('/')[0] as never,
  held: held === 'gone' ? undefined : ({ text, isUp: held === 'up' } satisfies HeldAddress),
});
const [uplink, management] = ['192.0.2.1/30', '10.0.0.1/24'];

function keeper() {
  const clock = { nowMs: 0 };
  return { ...createAddressKeeper(holdMs, () => clock.nowMs), clock };
}

test('a host without a registered address takes what is found', () => expect(keeper().choose(4, found(uplink), undefined)).toBe(uplink));
test('the length of the network follows the interface', () =>
  expect(keeper().choose(4, found('192.0.2.1/24'), registered('192.0.2.1/30', 'up'))).toBe('192.0.2.1/24'));

describe('the registered address', () => {
  test.each<readonly [string, 'up' | 'down', FoundAddress]>([
    ['while its interface is down and another has a default route', 'down', found(management)],
    ['while its interface is down and nobody has one', 'down', found(management, true)],
    ['while there is no default route', 'up', found(management, true)],
  ])('stays %s, however long', (_, state, other) => {
    const { choose, clock } = keeper();
    for (let round = 0; round < 5; round += 1) {
      expect(choose(4, other, registered(uplink, state))).toBe(uplink);
      clock.nowMs += holdMs;
    }
  });
  test.each<readonly [string, 'up' | 'gone', string | undefined]>([
    ['the default route is elsewhere though its interface is up', 'up', uplink],
    ['the host does not have it', 'gone', undefined],
  ])('is left when %s for the hold time', (_, state, meanwhile) => {
    const { choose, clock } = keeper();
    choose(4, found(uplink), registered(uplink, 'up'));
    expect(choose(4, found(management), registered(uplink, state))).toBe(meanwhile);
    clock.nowMs = holdMs - 1;
    expect(choose(4, found(management), registered(uplink, state))).toBe(meanwhile);
    clock.nowMs = holdMs;
    expect(choose(4, found(management), registered(uplink, state))).toBe(management);
  });
  test('is left for one that has stood its time however often that is asked before it is registered', () => {
    const { choose, clock } = keeper();
    choose(4, found(uplink), registered(uplink, 'up'));
    choose(4, found(management), registered(uplink, 'gone'));
    clock.nowMs = holdMs;
    for (let round = 0; round < 3; round += 1) expect(choose(4, found(management), registered(uplink, 'gone'))).toBe(management);
    // Once registered, this address stays until another one has been better for the hold time.
    expect(choose(4, found(management), registered(management, 'up'))).toBe(management);
    expect(choose(4, found(uplink), registered(management, 'gone'))).toBeUndefined();
  });
  test('that comes back meanwhile has its whole time again', () => {
    const { choose, clock } = keeper();
    choose(4, found(uplink), registered(uplink, 'up'));
    choose(4, found(management), registered(uplink, 'gone'));
    clock.nowMs = holdMs - 1;
    choose(4, found(uplink), registered(uplink, 'up'));
    clock.nowMs = holdMs;
    expect(choose(4, found(management), registered(uplink, 'gone'))).toBeUndefined();
  });
  test('that the host never had is left at once: it is another’s', () =>
    expect(keeper().choose(4, found(management), registered(uplink, 'gone'))).toBe(management));
  test('is left at once when it was a guess for want of a default route', () => {
    const { choose } = keeper();
    expect(choose(4, found(management, true), undefined)).toBe(management);
    expect(choose(4, found(uplink), registered(management, 'up'))).toBe(uplink);
  });
});
