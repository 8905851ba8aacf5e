import { execFileSync } from 'node:child_process';
import { describe } from 'vitest';
import { openTable, openTableKernel } from './table.netlink.ts';
import { tableContract } from './testing/contract.ts';

let worlds = 0;

describe('the kernel', () => {
  tableContract(() => {
    const namespace = `nft-${process.pid}-${++worlds}`;
    execFileSync('ip', ['netns', 'add', namespace]);
    const opened: { close(): void }[] = [];
    return {
      runs: 30,
      open(family, name) {
        const table = openTable(family, name, namespace);
        const others = openTableKernel(family, name, namespace);
        opened.push(table, others);
        return { table, others };
      },
      close() {
        for (const some of opened) some.close();
        execFileSync('ip', ['netns', 'del', namespace]);
      },
    };
  });
});
