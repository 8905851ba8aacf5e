// Follows the pages of docs/ on a clean machine: runs their commands, which stand in blocks of `sh`, one after the other.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { areActive, type CleanMachine } from './clean-machine.ts';

/** The text of a page. */
export const page = (name: string): string => readFileSync(join(import.meta.dirname, '../../docs', name), 'utf8');

/** A page's blocks of commands. */
export const blocksOf = (text: string): readonly string[] => [...text.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, commands]) => commands!);

/** A block as its reader means it: whoever asks for several units wants to see them all active. */
const meant = (block: string): string => block.replaceAll(/^systemctl is-active (.*)\n/gm, (_, units: string) => areActive(units.split(' ')));

const changing = /apt-get|>>|cat >|printf|openssl|systemctl (restart|disable)|--remove|--apply|etcdctl (user|auth)/;

/**
 * Follows a page in the machine, in a folder of packages. A first block of variables alone holds for all others, as in the shell of whoever follows the page. A block that only looks may
 * need a moment: an agent may just have been started.
 * @param only the blocks to follow, all when left out
 */
export async function follow(machine: CleanMachine, name: string, folder: string, only: (block: string) => boolean = () => true): Promise<void> {
  const blocks = blocksOf(page(name));
  if (blocks.length === 0) throw new Error(`docs/${name} has no commands to follow`);
  const [first] = blocks;
  const areVariables = first!
    .trim()
    .split('\n')
    .every((line) => /^(export )?\w+=/.test(line));
  const variables = areVariables ? first! : '';
  for (const block of blocks.slice(areVariables ? 1 : 0).filter(only))
    await machine[changing.test(block) ? 'run' : 'until'](`cd ${folder}\n${variables}${meant(block)}`);
}

const programs = /^(ip|nft|birdc|sysctl|journalctl|systemctl|calico-(felix|dhcp-agent|bird-agent|diags)|ping) /;

/** The commands in a page's running text that begin with a program of a host, with `address` where the page says ADDRESS. */
export const inlineCommands = (text: string, address: string): readonly string[] =>
  [...new Set([...text.matchAll(/`([^`\n]+)`/g)].map(([, words]) => words!))]
    .filter((words) => programs.test(words))
    .map((words) => words.replace('ADDRESS', address));
