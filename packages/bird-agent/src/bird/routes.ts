// What BIRD says of routes.
import type { IpFamily } from '@calico-openstack/addresses';
import type { BirdControl } from './control.ts';

export type ShownRoute = { readonly prefix: string /** The protocol that brought it. */; readonly protocol: string };

/** The routes in a family's main table that `options` of `show route` find. */
export async function showRoutes(
  control: BirdControl,
  family: IpFamily,
  options: { readonly filtered?: boolean; readonly where: string },
): Promise<readonly ShownRoute[]> {
  const { lines } = await control.ask(question(family, options));
  const routes: ShownRoute[] = [];
  let prefix = '';
  for (const { text } of lines) {
    const [, first, protocol] = /^(\S*)\s+\S+ \[(\S+) /.exec(text) ?? [];
    if (protocol === undefined) continue;
    prefix = first || prefix; // the second route to a prefix leaves it out
    routes.push({ prefix, protocol });
  }
  return routes;
}

/** How many there are: for telling whether they can be asked for one by one. */
export async function countRoutes(control: BirdControl, family: IpFamily, options: { readonly filtered?: boolean; readonly where: string }): Promise<number> {
  const { lines } = await control.ask(`${question(family, options)} count`);
  return lines.reduce((sum, { text }) => sum + Number(/^(\d+) of \d+ routes/.exec(text)?.[1] ?? 0), 0);
}

const question = (family: IpFamily, { filtered, where }: { readonly filtered?: boolean; readonly where: string }): string =>
  `show route${filtered ? ' filtered' : ''} table master${family} where ${where}`;
