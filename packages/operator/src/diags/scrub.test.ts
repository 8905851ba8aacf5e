import { expect, test } from 'vitest';
import { leftOut, scrub, secretsIn } from './scrub.ts';

test.each([
  ['EtcdPassword = hunter2x', ['hunter2x']],
  ['EtcdPassword = `hunter#2`', ['hunter#2']],
  ['etcdpassword=with blanks ; and a comment', ['with blanks ; and a comment', 'with blanks']],
  ['connection = mysql+pymysql://neutron:dBpass1@10.0.0.1/neutron', ['dBpass1']],
  ['transport_url = rabbit://a:firstPw@h1:5672,b:second@h2//', ['firstPw@h1:5672,b:second']],
  ['connection = postgresql://n:p%40ss%2Fw@db/n', ['p%40ss%2Fw', 'p@ss/w']],
  ['metadata_proxy_shared_secret = meta-data', ['meta-data']],
  ['  password "bgp secret";', ['bgp secret']],
  ['memcache_secret_key: abcdef', ['abcdef']],
  ['EtcdKeyFile = /etc/calico/felix.key', []],
  ['EtcdEndpoints = https://10.0.0.1:2379', []],
  ['-----BEGIN PRIVATE KEY-----\nMHcCAQEEIplantedkey+/=\n-----END PRIVATE KEY-----', ['MHcCAQEEIplantedkey+/=']],
  ['password = abc', []], // part of too many words
  ['# how the password "v3password" is used', []],
  ['auth_token = password', []],
])('%s holds the secrets %j', (line, secrets) => expect(secretsIn(line)).toEqual(secrets));

test('a secret that is known is taken out wherever it stands, also where nothing says what it is', () => {
  const log = 'felix: cannot use "hunter2x" as a number\nhunter2x\nxhunter2xx';
  expect(scrub(log, ['hunter2', 'hunter2x'])).toEqual({ text: `felix: cannot use "${leftOut}" as a number\n${leftOut}\nx${leftOut}x`, count: 3 });
});

test.each([
  ['a private key', 'before\n-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEI\n-----END EC PRIVATE KEY-----\nafter', 'MHcCAQEEI'],
  ['a private key that is cut off', '-----BEGIN PRIVATE KEY-----\nMHcCAQEEI\nmore', 'MHcCAQEEI'],
  ['a password in a URL', 'sqlalchemy: cannot connect to mysql://neutron:s3cr3t@db/neutron', 's3cr3t'],
  ['BIRD’s password', 'protocol bgp r1 {\n  password "s3cr3t";\n}', 's3cr3t'],
  ['BIRD’s password with a quotation mark in it', 'password "s3\\"cr3t";', 'cr3t'],
  ['an option', 'etcd_password = s3cr3t', 's3cr3t'],
  ['JSON', '{"auth":{"password":"s3cr3t","user":"a"}}', 's3cr3t'],
  ['a header', 'X-Auth-Token: s3cr3t', 's3cr3t'],
  ['another header', 'Authorization: Bearer s3cr3t.more', 's3cr3t'],
])('%s is taken out by its form', (_, text, secret) => {
  const clean = scrub(text, []);
  expect(clean.text).not.toContain(secret);
  expect(clean.text).toContain(leftOut);
  expect(clean.count).toBe(1);
});

test.each([
  'tcp dport 22 accept comment "no password is needed"',
  'Jan 01 felix: etcd said that user or password are wrong (ETCD_DENIED)',
  'EtcdEndpoints = https://10.0.0.1:2379 (felix.cfg)',
  '10.65.0.11 dev tap1 scope link',
])('%s stays as it is', (text) => expect(scrub(text, ['hunter2'])).toEqual({ text, count: 0 }));
