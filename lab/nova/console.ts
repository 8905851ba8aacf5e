// Types at a guest's serial console, where the guest's first process carries out each line.
import { randomBytes } from 'node:crypto';
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { LabError } from '../errors.ts';
import type { Processes } from '../process.ts';
import type { NovaHost } from './compute.ts';

/** A guest's console: the host with the guest's terminal, the server's id, and a function that reads what has been printed. */
export type Console = { readonly host: NovaHost; readonly id: string; readonly read: () => Promise<string> };

/** Carries out a line of shell in the guest, and returns what the line prints. */
export async function typeAt(processes: Processes, { host, id, read }: Console, line: string): Promise<string> {
  const terminal = (await host.run('virsh', 'ttyconsole', id)).trim();
  const mark = randomBytes(4).toString('hex');
  // The terminal echoes what is typed. So the marks are typed in two parts, and appear in one only when they are printed.
  // QEMU reads only while somebody has the terminal open, and looks for that once a second.
  const open = openSync(terminal, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
  try {
    const typed = Buffer.from(`echo begin"-"${mark}; ${line}; echo end"-"${mark}\n`);
    if (writeSync(open, typed) < typed.length)
      throw new LabError('NOT_READY', `the console of the server ${id} does not take "${line}": QEMU does not read it`);
    return await processes.until(
      `the end of "${line}"`,
      async () => {
        const said = await read();
        const [from, to] = [said.lastIndexOf(`begin-${mark}\n`), said.lastIndexOf(`end-${mark}\n`)];
        return from < 0 || to < 0 ? undefined : said.slice(said.indexOf('\n', from) + 1, to);
      },
      { timeoutMs: 120_000, intervalMs: 300 },
    );
  } finally {
    closeSync(open);
  }
}
