// A follower as a process of its own, for tests that put it into a namespace. Arguments: a prefix, then endpoints. Says what it is told, a JSON line each; a line on its standard input closes it.
import { once } from 'node:events';
import { connectEtcd } from '../client.ts';

const [prefix = '', ...endpoints] = process.argv.slice(2);
/** In the order in which it was told, though some of it takes a question first. */
let said = Promise.resolve();
const say = (what: Record<string, unknown>, more?: Promise<Record<string, unknown>>): void => {
  said = said.then(async () => void process.stdout.write(`${JSON.stringify({ ...what, ...(await more) })}\n`));
};
const etcd = connectEtcd({ endpoints, timeoutSeconds: 5 });
etcd.follow([prefix], {
  onChanges: (changes) => say({ changed: changes.map(({ key }) => key) }),
  onState: (state) => say({ state }, state === 'following' ? etcd.status().then(({ endpoint }) => ({ endpoint })) : undefined),
});
await once(process.stdin, 'data');
process.stdin.destroy();
etcd.close();
