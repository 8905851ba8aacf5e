import { fakeLinks } from '../links/fake.ts';
import { fakeNeighbours } from './fake.ts';
import { neighboursContract } from './testing/contract.ts';

neighboursContract(() => {
  const links = fakeLinks();
  for (const name of ['tap1', 'tap2']) links.kernel.add(name, { up: true });
  links.refresh();
  const neighbours = fakeNeighbours(links.kernel);
  return { links, open: neighbours.open, close: () => links.close() };
});
