// Creates directories with their parents. Node's recursive mkdirSync never returns where the kernel refuses a name with ENOENT, as it does below /proc.
import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/** Creates the directory `path` and its missing parents with `mode`. Does nothing when it exists. @throws the file system's error (EACCES, ENOTDIR and the like) */
export function makeDirectory(path: string, mode = 0o755): void {
  if (makeOne(path, mode)) return;
  makeDirectory(dirname(path), mode);
  mkdirSync(path, { mode });
}

/** Creates one directory. Returns false when its parent is missing. */
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
