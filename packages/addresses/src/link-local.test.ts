import { expect, test } from 'vitest';
import { linkLocalOf } from './link-local.ts';

test.each([
  ['fa:16:3e:00:00:01', 'fe80::f816:3eff:fe00:1'],
  ['34:56:78:9a:bc:de', 'fe80::3656:78ff:fe9a:bcde'], // RFC 4291, appendix A
  ['00:00:5e:00:01:07', 'fe80::200:5eff:fe00:107'],
])('%s makes %s', (mac, address) => expect(linkLocalOf(mac)).toBe(address));
