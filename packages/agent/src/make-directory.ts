// A directory with those above it. Node's own recursive mkdirSync never comes to an end where the kernel refuses a name with ENOENT, as everywhere below /proc.
import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/** Makes the directory `path`, and the missing ones above it, with `mode`. Nothing happens where it exists. Throws the error of the file system that stands in the way. */
export function makeDirectory(path: string, mode = 0o755): void {
  if (makeOne(path, mode)) return;
  makeDirectory(dirname(path), mode);
  mkdirSync(path, { mode });
}

/** False: the directory above is missing. */
function makeOne(path: string, mode: number): boolean {
  try {
    mkdirSync(path, { mode });
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && statSync(path).isDirectory()) return true;
    if (code === 'ENOENT' && dirname(path) !== path) return false;
    throw error;
  }
}
