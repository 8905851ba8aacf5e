// The lab, drawn in plain characters. Pure.
import type { Route, Scene, SceneHost, SceneService } from './scene.ts';

/** Fits into `width` columns, as long as names and addresses let it. */
export function draw(scene: Scene, width = 100): string {
  const { control, router, hosts } = scene;
  const top = beside([
    box(router.name, [`AS ${router.asNumber}`, ...routeLines(router.routes)]),
    box(`${control.name}  ${control.address}`, serviceLines(control.services)),
  ]);
  const boxes = hosts.map(hostBox);
  const widest = Math.max(...boxes.map((lines) => lines[0]?.length ?? 0));
  const inRow = Math.max(1, Math.floor((width + gap.length) / (widest + gap.length)));
  const rows = Array.from({ length: Math.ceil(boxes.length / inRow) }, (_, row) => beside(boxes.slice(row * inRow, (row + 1) * inRow)));
  return [...top, '   |', ...rows.flatMap((lines, index) => (index === 0 ? lines : ['', ...lines]))].map((line) => line.trimEnd()).join('\n');
}

function hostBox({ name, address, asNumber, bgp, services, vms, routes }: SceneHost): string[] {
  const guests = vms.flatMap((vm) => [`[${vm.name}]  ${vm.tap}`, ...vm.addresses.map((text) => `    ${text}`)]);
  return box(`${name}  ${address}`, [
    `AS ${asNumber}, BGP ${bgp}`,
    ...serviceLines(services),
    ...section('VMs', guests),
    ...section('routes', routeLines(routes)),
  ]);
}

const section = (title: string, lines: readonly string[]): string[] => (lines.length === 0 ? [] : ['', `${title}:`, ...lines]);
const routeLines = (routes: readonly Route[]): string[] => routes.map(({ destination, via }) => `${destination} -> ${via}`);
function serviceLines(services: readonly SceneService[]): string[] {
  const names = (wanted: boolean): string => services.flatMap(({ name, running }) => (running === wanted ? [name] : [])).join(', ');
  return [`runs: ${names(true)}`, ...(names(false) === '' ? [] : [`DOES NOT RUN: ${names(false)}`])];
}

const gap = '  ';

function box(title: string, lines: readonly string[]): string[] {
  const inner = Math.max(title.length + 2, ...lines.map((line) => line.length));
  return [`+- ${title} ${'-'.repeat(inner - title.length - 1)}+`, ...lines.map((line) => `| ${line.padEnd(inner)} |`), `+${'-'.repeat(inner + 2)}+`];
}

/** Boxes next to one another, tops level. */
function beside(boxes: readonly (readonly string[])[]): string[] {
  const height = Math.max(...boxes.map((lines) => lines.length));
  return Array.from({ length: height }, (_, row) => boxes.map((lines) => (lines[row] ?? '').padEnd(lines[0]?.length ?? 0)).join(gap));
}
