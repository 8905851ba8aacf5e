// Asks BIRD for routes.
import type { IpFamily } from '@calico-openstack/addresses';
import { type BirdControl, BirdError, isNotUnderstood, type ReplyLine } from './control.ts';

/** A route, and the name of the protocol that brought it. */
export type ShownRoute = { readonly prefix: string; readonly protocol: string };

/** Lists the routes in a family's main table that match these options of `show route`. Rejects with BirdError. */
export async function showRoutes(
  control: BirdControl,
  family: IpFamily,
  options: { readonly filtered?: boolean; readonly where: string },
): Promise<readonly ShownRoute[]> {
  const lines = await linesOf(control, question(family, options));
  const routes: ShownRoute[] = [];
  let prefix = '';
  for (const { text } of lines) {
    const [, first, protocol] = /^(\S*)\s+\S+ \[(\S+) /.exec(text) ?? [];
    if (protocol === undefined) continue;
    prefix = first || prefix; // BIRD leaves the prefix out for further routes to it
    routes.push({ prefix, protocol });
  }
  return routes;
}

/** Counts such routes, for deciding whether to list them. Rejects with BirdError. */
export async function countRoutes(control: BirdControl, family: IpFamily, options: { readonly filtered?: boolean; readonly where: string }): Promise<number> {
  const lines = await linesOf(control, `${question(family, options)} count`);
  return lines.reduce((sum, { text }) => sum + Number(/^(\d+) of \d+ routes/.exec(text)?.[1] ?? 0), 0);
}

/** An answer's lines. A question that BIRD does not understand is an error: "no such routes" would hide routes that must go. */
async function linesOf(control: BirdControl, command: string): Promise<readonly ReplyLine[]> {
  const reply = await control.ask(command);
  if (isNotUnderstood(reply)) throw new BirdError('BIRD_PROTOCOL', `BIRD does not understand "${command}": ${reply.lines.at(-1)?.text ?? ''}`);
  return reply.lines;
}

const question = (family: IpFamily, { filtered, where }: { readonly filtered?: boolean; readonly where: string }): string =>
  `show route${filtered ? ' filtered' : ''} table master${family} where ${where}`;
