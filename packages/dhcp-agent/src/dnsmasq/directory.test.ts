import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { placesIn } from './command.ts';
import { makeDirectories, readLiveLeaseFile, wholeText, writeLeaseFile } from './directory.ts';

/** Reads a file that shows these texts one after the other, and the last one for ever. Returns the text that was read, whether it counts as whole, and the number of readings. */
function read(texts: readonly string[], ageMs = 0): readonly [string, boolean, number] {
  let looks = 0;
  const { text, isWhole } = wholeText(
    () => ({ text: texts[looks++] ?? texts.at(-1)!, ageMs }),
    () => {},
  );
  return [text, isWhole, looks];
}

test('a lease file that Dnsmasq is just writing is read again until it is whole', () => {
  expect(read(['', '1795529559 fa:16:3e:00:00:01 10.65.0.11 * *\n17955', 'a\nb\n'])).toEqual(['a\nb\n', true, 3]);
});

test('a lease file that has been empty for long counts as empty; one that stays empty or incomplete does not count as whole', () => {
  expect(read([''], 60_000)).toEqual(['', true, 1]);
  expect(read([''])).toEqual(['', false, expect.any(Number)]);
  expect(read(['a\nb'])).toEqual(['a\nb', false, expect.any(Number)]);
});

test('the new, empty lease file of a Dnsmasq that was just started is whole, and no longer when Dnsmasq has changed it', () => {
  const directory = mkdtempSync(join(tmpdir(), 'dhcp-leases-'));
  chmodSync(directory, 0o755);
  const places = placesIn(directory);
  makeDirectories(places);
  const writtenMs = writeLeaseFile(places, '');
  expect(readLiveLeaseFile(places, writtenMs)).toEqual({ text: '', isWhole: true });
  expect(readLiveLeaseFile(places).isWhole).toBe(false);
  writeFileSync(places.leases, '17955');
  expect(readLiveLeaseFile(places, writtenMs)).toEqual({ text: '17955', isWhole: false });
  rmSync(directory, { recursive: true });
});
