import { expect, test } from 'vitest';
import { complaints } from './trouble.ts';

test.each([
  '2026-11-24 15:06:22.207 [WARNING][12302] bird-agent: a resource or setting is not applied as written',
  '2026-11-24 15:06:22.207 [ERROR][12302] felix: no',
  '2026-11-24 15:06:39.430 12412 ERROR neutron.api something',
  '2026-11-24 15:06:22 0 [ERROR] mariadbd: Table is read only',
  '2026-11-24 14:55:16.900 <ERR> Cannot open file',
  '{"level":"fatal","msg":"discovery failed"}',
  'Traceback (most recent call last):',
])('is a complaint: %s', (line) => {
  expect(complaints(`fine\n${line}\nfine`)).toEqual([line]);
});

test.each([
  '2026-11-24 15:06:22.207 [INFO][12302] felix: the kernel is as the datastore wants it',
  "[WARNING] Deprecated '--logger=capnslog' flag is set; use '--logger=zap' flag instead",
  '2026-11-24 15:06:39.430 12412 WARNING keystone.common.password_hashing Truncating password',
  '{"level":"info","msg":"no error so far"}',
  '2026-11-24 14:55:16.900 <INFO> Started',
])('is not a complaint: %s', (line) => {
  expect(complaints(line)).toEqual([]);
});
