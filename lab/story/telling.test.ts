import { expect, test } from 'vitest';
import { type Claim, ClaimFailed, type Finding, telling } from './telling.ts';

function told({ lively = false, columns = 60 } = {}) {
  let text = '';
  let clock = 0;
  return {
    tale: telling({ write: (more) => (text += more), lively, columns }, () => clock),
    text: () => text,
    pass: (ms: number) => (clock += ms),
  };
}
const claim = (says: string, finding: Finding | Promise<Finding>): Claim => ({ says, look: async () => await finding });
const holds = (seen: string): Finding => ({ holds: true, seen });

test('a chapter has a title with its number, a step its time, a claim what was seen; all end in one column', async () => {
  const { tale, text, pass } = told();
  await tale.chapter('A network', async () => {
    await tale.step('etcd', async () => pass(1234));
    await tale.check(claim('web-1 answers', holds('0.10 ms')));
  });
  expect(text()).toBe(`
1. A network
  ✓ etcd                                               1.2 s
  ✓ web-1 answers                                    0.10 ms
`);
  expect(tale.chapters).toEqual([{ title: 'A network', seconds: 1.234 }]);
  expect(tale.held).toBe(1);
});

test('claims are checked side by side, and shown in their order', async () => {
  const { tale, text } = told();
  let answer: (finding: Finding) => void = () => {};
  const slow = new Promise<Finding>((resolve) => {
    answer = resolve;
  });
  const second: Claim = {
    says: 'second',
    look: async () => {
      answer(holds('late'));
      return holds('early');
    },
  };
  await tale.check(claim('first', slow), second);
  expect(text()).toMatch(/first +late\n.*second +early\n/);
});

test('a claim that does not hold is shown with what was seen instead, and ends the story', async () => {
  const { tale, text } = told();
  const check = tale.check(claim('one', holds('yes')), claim('two', { holds: false, seen: 'nothing' }), claim('three', holds('yes')));
  await expect(check).rejects.toThrow(ClaimFailed);
  await expect(check).rejects.toThrow('It should be so: two. What was seen: nothing');
  expect(text()).toContain('✗ two');
  expect(text()).not.toContain('three');
  expect(tale.held).toBe(1);
});

test('when a look fails, the others are waited for', async () => {
  const { tale } = told();
  let done = false;
  const slow: Claim = {
    says: 'slow',
    look: async () => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      done = true;
      return holds('yes');
    },
  };
  await expect(tale.check(claim('fails', Promise.reject(new Error('no such host'))), slow)).rejects.toThrow('no such host');
  expect(done).toBe(true);
});

test('a finding that does not fit beside its claim is shown below it', async () => {
  const { tale, text } = told({ columns: 30 });
  await tale.check(claim('nothing of it is left', holds('0.10 s later')));
  expect(text()).toBe(`  ✓ nothing of it is left\n${'0.10 s later'.padStart(30)}\n`);
});

test('without a terminal there is no colour and no changing line', async () => {
  const [plain, lively] = [told(), told({ lively: true })];
  for (const { tale } of [plain, lively]) await tale.chapter('A cloud', () => tale.step('etcd', async () => {}));
  for (const control of ['\x1b', '\r']) expect(plain.text()).not.toContain(control);
  expect(lively.text()).toContain('\r\x1b[K\x1b[2m  … etcd');
});

test('columns of a table are as wide as their widest cell', () => {
  const { tale, text } = told();
  tale.table([
    ['VM', 'on'],
    ['web-1', 'host-1'],
    ['b', 'h'],
  ]);
  expect(text()).toBe('    VM      on\n    web-1   host-1\n    b       h\n');
});
