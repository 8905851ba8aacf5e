// Felix with an etcd that knows its clients by their certificates, while all certificates are replaced.
import { copyFileSync } from 'node:fs';
import { etcdUserName } from '@calico-openstack/datamodel';
import { connectEtcd } from '@calico-openstack/etcd';
import { type TestCertificates, testCertificates } from '@calico-openstack/etcd/testing/certificates';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Plugged, TestHost } from './testing/host.ts';
import { endpointNumber, securityGroup, workloadEndpoint } from './testing/resources.ts';

const user = etcdUserName('calico-felix', 'host0');
const open = (port: number) => securityGroup('open', [{ action: 'Allow', protocol: 17, destination: { ports: [port] } }]);
const udp = (destinationPort: number) => ({ protocol: 17, destinationPort });

let [own, renewed]: [TestCertificates, TestCertificates] = [] as never;
let host: TestHost;
let [one, two]: [Plugged, Plugged] = [] as never;
beforeEach(async () => {
  [own, renewed] = [testCertificates(user), testCertificates(user)];
  host = await TestHost.open('host0', { certificates: own });
  one = await host.plug(endpointNumber(1));
  two = await host.plug(endpointNumber(2));
});
afterEach(async () => {
  await host?.close();
  for (const each of [own, renewed]) each?.remove();
});

/** Renews certificates as an operator does: one file after the other, in place. */
const renew = (...names: (keyof TestCertificates & `${string}File`)[]): void => {
  for (const name of names) copyFileSync(renewed[name], own[name]);
};

test('certificate, key and authority are replaced, the old authority is gone, and a pair that is half written is not used', async () => {
  await host.put(open(7000), workloadEndpoint(one), workloadEndpoint(two));
  host.startAgent();
  await host.untilProgrammed();
  await host.untilPasses(one, two, udp(7000));
  const pid = host.agent!.pid;
  const { certFile, keyFile } = own.client('stranger'); // a certificate of the old authority
  await host.until(async () => (await host.statusOf(one)) === '{"status":"up"}', 'the status, written by the name in the certificate');

  // etcd has the new certificates and trusts only the new authority. The client has its new certificate, and not yet its new key.
  await host.etcdProcess.kill();
  renew('caFile', 'serverCertFile', 'serverKeyFile', 'clientCertFile');
  await host.etcdProcess.restart();
  await host.untilSaid('Until then this process goes on with the certificates that it read before');
  expect(await host.passes(one, two, udp(7000))).toBe(true);

  renew('clientKeyFile');
  await host.put(open(7001)); // the client of this test uses the same files
  await host.untilPasses(one, two, udp(7001));
  await host.untilPasses(one, two, udp(7000), false);
  expect([host.agent!.pid, host.agent!.exitCode]).toEqual([pid, null]);

  const stranger = connectEtcd({ endpoints: [host.outsideEndpoint], caFile: own.caFile, certFile, keyFile, timeoutMs: 2_000 });
  await expect(stranger.get('/a')).rejects.toMatchObject({ code: 'ETCD_UNAVAILABLE' });
  stranger.close();
});
