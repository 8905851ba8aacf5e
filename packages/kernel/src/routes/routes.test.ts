import { fakeLinks } from '../links/fake.ts';
import { fakeRoutes } from './fake.ts';
import { routesContract } from './testing/contract.ts';

routesContract(() => {
  const links = fakeLinks();
  const routes = fakeRoutes(links.kernel);
  return { links, open: routes.open, close: () => links.close() };
});
