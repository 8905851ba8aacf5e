import { describe } from 'vitest';
import { openTable, openTableKernel } from './table.netlink.ts';
import { tableContract } from './testing/contract.ts';
import { makeNamespace } from './testing/namespace.ts';

describe('the kernel', () => {
  tableContract(() => {
    const namespace = makeNamespace();
    const opened: { close(): void }[] = [];
    return {
      runs: 30,
      open(family, name) {
        const table = openTable(family, name, namespace.name);
        const others = openTableKernel(family, name, namespace.name);
        opened.push(table, others);
        return { table, others };
      },
      close() {
        for (const some of opened) some.close();
        namespace.remove();
      },
    };
  });
});
