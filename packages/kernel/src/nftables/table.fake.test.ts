import { describe } from 'vitest';
import { createTableProgrammer } from './programmer.ts';
import { type FakeKernel, fakeKernel } from './table.fake.ts';
import { tableContract } from './testing/contract.ts';

describe('the fake', () => {
  tableContract(() => {
    const kernels = new Map<string, FakeKernel>();
    return {
      runs: 100,
      open(family, name) {
        const kernel = kernels.get(`${family} ${name}`) ?? fakeKernel(family, name);
        kernels.set(`${family} ${name}`, kernel);
        return { table: createTableProgrammer(family, name, kernel), others: kernel };
      },
      close: () => undefined,
    };
  });
});
