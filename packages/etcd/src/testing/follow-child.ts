// A follower as a process of its own, for tests that put it into a namespace. Arguments: a prefix, then endpoints. Says what it is told, a JSON line each; a line on its standard input closes it.
import { once } from 'node:events';
import { connectEtcd } from '../client.ts';

const [prefix = '', ...endpoints] = process.argv.slice(2);
const say = (what: Record<string, unknown>): void => void process.stdout.write(`${JSON.stringify(what)}\n`);
const etcd = connectEtcd({ endpoints, timeoutSeconds: 5 });
etcd.follow([prefix], {
  onChanges: (changes) => say({ changed: changes.map(({ key }) => key) }),
  async onState(state) {
    say({ state, ...(state === 'following' ? { endpoint: (await etcd.status()).endpoint } : {}) });
  },
});
await once(process.stdin, 'data');
process.stdin.destroy();
etcd.close();
