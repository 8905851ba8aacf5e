// Draws the lab as text: the machines and their VMs as a tree, the routes as tables. Pure.
import type { Scene, SceneHost, SceneService } from './scene.ts';

/** The picture. It fits into `width` columns unless names and addresses are too long. */
export const draw = (scene: Scene, width = 100): string => [...tree(scene), ...routeTables(scene, width)].map((line) => line.trimEnd()).join('\n');

function tree({ control, router, hosts }: Scene): string[] {
  const guests = hosts.flatMap(({ vms }) => vms.map(({ name, addresses, tap }) => [name, ...addresses, tap]));
  const machines = [
    [control.name, control.address, '', said(control.services)],
    ...hosts.map(({ name, address, asNumber, bgp, services }) => [name, address, `AS ${asNumber}, BGP ${bgp}`, said(services)]),
  ];
  const [machineLine, guestLine] = [columnsOf(machines), columnsOf(guests)];
  const lines = machines.flatMap((machine, index) => {
    const last = index === machines.length - 1;
    const vms = hosts[index - 1]?.vms ?? []; // the first machine is the control machine
    return [
      `${last ? '└' : '├'}─ ${machineLine(machine)}`,
      ...vms.map(({ name, addresses, tap }, which) => `${last ? ' ' : '│'}  ${which === vms.length - 1 ? '└' : '├'}─ ${guestLine([name, ...addresses, tap])}`),
    ];
  });
  return [`${router.name}  AS ${router.asNumber}`, ...lines];
}

function said(services: readonly SceneService[]): string {
  const names = (wanted: boolean): string => services.flatMap(({ name, running }) => (running === wanted ? [name] : [])).join(', ');
  return [`runs ${names(true)}`, ...(names(false) === '' ? [] : [`DOES NOT RUN: ${names(false)}`])].join('; ');
}

/** The routes, with a column for each machine, in as many tables as `width` requires. Addresses of one VM share a line where their routes agree. */
function routeTables({ router, hosts }: Scene, width: number): string[] {
  const machines = [router, ...hosts];
  const known = new Set(hosts.flatMap(({ vms }) => vms.flatMap(({ addresses }) => addresses)));
  const others = [...new Set(machines.flatMap(({ routes }) => routes.map(({ destination }) => destination)))].filter((address) => !known.has(address));
  const vias = machines.map(({ routes }) => new Map(routes.map(({ destination, via }) => [destination, via])));
  const rowOf = (destination: string): string[] => vias.map((via) => via.get(destination) ?? '-');
  const rows = [
    ...hosts.flatMap(({ vms }) => vms.flatMap((vm) => rowsOfVm(vm, rowOf))),
    ...others.map((address) => ({ name: address, cells: rowOf(address) })),
  ];
  if (rows.length === 0) return [];
  const heads = { name: 'routes', cells: machines.map(({ name }) => `on ${name}`) };
  const firstWidth = Math.max(...[heads, ...rows].map(({ name }) => name.length));
  const cellWidth = Math.max(...[heads, ...rows].flatMap(({ cells }) => cells.map((cell) => cell.length)));
  const inTable = Math.max(1, Math.floor((width - firstWidth) / (cellWidth + gap.length)));
  return Array.from({ length: Math.ceil(machines.length / inTable) }, (_, table) => [
    '',
    ...[heads, ...rows].map(({ name, cells }) =>
      [name.padEnd(firstWidth), ...cells.slice(table * inTable, (table + 1) * inTable).map((cell) => cell.padEnd(cellWidth))].join(gap),
    ),
  ]).flat();
}

type Row = { readonly name: string; readonly cells: readonly string[] };

function rowsOfVm({ name, addresses }: SceneHost['vms'][number], rowOf: (destination: string) => string[]): Row[] {
  const rows = addresses.map((address) => ({ name: address, cells: rowOf(address) }));
  const alike = rows.every(({ cells }) => cells.join() === rows[0]?.cells.join());
  return alike && rows[0] !== undefined ? [{ name, cells: rows[0].cells }] : rows;
}

const gap = '   ';

/** Returns a function that pads each word of a line to the width of its column. */
function columnsOf(lines: readonly (readonly string[])[]): (line: readonly string[]) => string {
  const widths = lines.reduce<number[]>((widest, line) => line.map((word, column) => Math.max(word.length, widest[column] ?? 0)), []);
  return (line) => line.map((word, column) => word.padEnd(widths[column] ?? 0)).join('  ');
}
