import { expect, test } from 'vitest';
import { parseLease } from './lease.ts';

test('udhcpc’s lease is parsed with all its options', () => {
  const text = `event=bound
ip=10.65.0.11
mask=24
router=10.65.0.1
dns=9.9.9.9 149.112.112.112
mtu=1450
staticroutes=169.254.169.254/32 10.65.0.2 0.0.0.0/0 10.65.0.1
lease=86400
serverid=10.65.0.1
hostname=web1
domain=lab.example
search=
`;
  expect(parseLease(text)).toEqual({
    event: 'bound',
    address: '10.65.0.11',
    prefixBits: 24,
    routers: ['10.65.0.1'],
    dnsServers: ['9.9.9.9', '149.112.112.112'],
    mtuBytes: 1450,
    staticRoutes: [
      { destination: '169.254.169.254/32', gateway: '10.65.0.2' },
      { destination: '0.0.0.0/0', gateway: '10.65.0.1' },
    ],
    leaseSeconds: 86400,
    server: '10.65.0.1',
    hostname: 'web1',
    domain: 'lab.example',
  });
});

test('an option that was not given is absent, not empty', () => {
  const lease = parseLease('event=bound\nip=10.65.0.11\nmask=24\nrouter=\ndns=\nmtu=\nstaticroutes=\nlease=60\nserverid=\nhostname=\ndomain=\n');
  expect(lease).toMatchObject({
    routers: [],
    dnsServers: [],
    mtuBytes: undefined,
    staticRoutes: [],
    server: undefined,
    hostname: undefined,
    domain: undefined,
  });
});
