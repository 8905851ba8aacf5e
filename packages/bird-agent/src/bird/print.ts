// Prints the configuration for BIRD 2. Our own symbols begin with `calico_`, so that none is a keyword of this or a later BIRD.
import type { IpFamily } from '@calico-openstack/addresses';
import { shortDigest } from '@calico-openstack/datamodel';
import type { LogSeverity } from '../resources/bgp-configuration.ts';
import { type BirdConfiguration, birdRouteMetric, type FamilyConfiguration, type FilterUse, type Session } from './configuration.ts';
import { addCommunity, filterFunction, filterSymbol, localPrefOfMetricZero } from './filters.ts';
import { admit, guardEntries, guardFunctions, isFromWorkload, leadsToNextHops } from './guards.ts';
import { symbol as symbolOf } from './text.ts';

const families = [4, 6] as const satisfies readonly IpFamily[];

/** The constant that identifies the configuration of a running BIRD: `eval calico_revision` on its control socket. */
export const revisionSymbol = 'calico_revision';

/** A printed configuration. */
export type PrintedConfiguration = {
  readonly text: string;
  readonly revision: string;
  /** A digest of the data that decides which routes are accepted. */
  readonly guards: string;
};

/**
 * Prints the whole file and its revision, a digest of the rest. The same configuration always gives the same text. There may be thousands of sessions, so a session that was
 * printed before is not printed or digested again.
 */
export function printConfiguration(configuration: BirdConfiguration): PrintedConfiguration {
  const guarded = guardLines(configuration);
  const guards = shortDigest(guarded.join('\n'), 24);
  const { bindToNodeAddress, holdSeconds, mostRoutes } = configuration;
  const settings = JSON.stringify([bindToNodeAddress, holdSeconds, mostRoutes]);
  const sessions = configuration.sessions.map((session) => printSession(session, configuration, settings));
  const filters = new Map<string, string>();
  for (const session of sessions) for (const { name, text } of session.filters) filters.set(name, text);
  const head = [...headLines(configuration, guarded), ...filters.values()].join('\n');
  const revision = shortDigest([head, ...sessions.map(({ digest }) => digest)].join('\n'), 24);
  const body = [head, ...sessions.map(({ text }) => text), ''].join('\n');
  return {
    text: `# Written by calico-bird-agent from the datastore: changes made here are lost.\ndefine ${revisionSymbol} = "${revision}";\n\n${body}`,
    revision,
    guards,
  };
}

type PrintedSession = { readonly settings: string; readonly text: string; readonly digest: string; readonly filters: readonly SessionFilter[] };
const printedSessions = new WeakMap<Session, PrintedSession>();

/** @param settings the parts of the configuration that sessions use, as text */
function printSession(session: Session, configuration: BirdConfiguration, settings: string): PrintedSession {
  const known = printedSessions.get(session);
  if (known?.settings === settings) return known;
  const filters = sessionFilters(session);
  const text = [...gatewayTo(session), ...sessionLines(session, filters, configuration)].join('\n');
  const printed = { settings, text, digest: shortDigest(text, 24), filters: Object.values(filters) };
  printedSessions.set(session, printed);
  return printed;
}

const guardLines = (configuration: BirdConfiguration): readonly string[] =>
  families.flatMap((family) => guardEntries(family, configuration.families[family].guards));

function headLines(configuration: BirdConfiguration, guarded: readonly string[]): readonly string[] {
  return [
    ...general(configuration),
    ...guardFunctions(families),
    ...guarded,
    ...families.flatMap((family) => nextHops(family, configuration)),
    ...workloads(configuration),
    ...families.flatMap((family) => exportPolicy(family, configuration.families[family])),
    ...importPolicy(configuration),
    ...families.flatMap((family) => kernel(family)),
    ...(configuration.sessions.some(({ bfd }) => bfd) ? failureDetection : []),
    ...usedFilters(configuration.sessions),
  ];
}

function general(configuration: BirdConfiguration): readonly string[] {
  const { logFile, logSeverity, routerId, workloadInterfacePrefixes, restartWaitSeconds } = configuration;
  const excluded = [...workloadInterfacePrefixes.map((prefix) => `${prefix}*`), 'ns-*'];
  return [
    `log ${logFile} ${logClasses[logSeverity]};`,
    `debug protocols ${logSeverity === 'Debug' ? 'all' : logSeverity === 'Info' ? '{ states }' : 'off'};`,
    `router id ${routerId};`,
    `graceful restart wait ${restartWaitSeconds};`,
    '',
    // This is BIRD's name for an unnamed device protocol, as in the distribution's file. With another name BIRD would forget all interfaces until the next scan.
    'protocol device device1',
    '{',
    '  scan time 5;',
    '}',
    '',
    "# The host's own networks: next hops are found in them. Not those of workloads, nor of the DHCP agent, whose interface holds each subnet's gateway.",
    'protocol direct calico_direct',
    '{',
    '  ipv4;',
    '  ipv6;',
    `  interface ${excluded.map((pattern) => `-"${pattern}", `).join('')}"*";`,
    '}',
    '',
  ];
}

/**
 * Next hops are resolved in a table of their own without BGP's routes. Otherwise a neighbour that announces a host's address would attract all traffic to that host's workloads. The
 * networks of ignored interfaces are filtered by a pipe: changing a pattern of `protocol direct` would restart it with all its routes, while a pipe's filter is applied softly.
 */
function nextHops(family: IpFamily, { ignoredInterfaces }: BirdConfiguration): readonly string[] {
  const ignored = ignoredInterfaces.map((pattern) => `ifname ~ "${pattern}"`).join(' || ');
  return [
    `ipv${family} table calico_igp${family};`,
    `protocol pipe calico_hops${family}`,
    '{',
    `  table master${family};`,
    `  peer table calico_igp${family};`,
    '  import none;',
    `  export where ${ignored ? `! (source = RTS_DEVICE && (${ignored})) && ` : ''}${leadsToNextHops};`,
    '}',
    '',
  ];
}

const logClasses: Readonly<Record<LogSeverity, string>> = {
  Debug: 'all',
  Info: '{ info, remote, warning, error, auth, fatal, bug, trace }',
  Warning: '{ warning, error, auth, fatal, bug }',
  Error: '{ error, auth, fatal, bug }',
  Fatal: '{ fatal, bug }',
};

/**
 * Preferences decide between a local workload's route (150), one learnt by BGP (100), and one to where the workload has just arrived: 200 if that is elsewhere, 250 if here.
 * The host's other routes (220) beat BGP's, as their metrics do in the kernel; BIRD resolves next hops with them. An elevated route counts only while the workload is
 * known to be migrating. Otherwise anybody could take over any host's workloads by claiming an elevated route.
 */
function workloads({ workloadInterfacePrefixes, deviceRouteProtocol, families: configured }: BirdConfiguration): readonly string[] {
  const interfaces = workloadInterfacePrefixes.map((prefix) => `ifname ~ "${prefix}*"`).join(' || ');
  return [
    '# A route that Felix has programmed to a workload here.',
    'function calico_workload()',
    '{',
    `  return source = RTS_INHERIT && krt_source = ${deviceRouteProtocol} && (${interfaces || 'false'}) && ((net.len = 32 && net.type = NET_IP4) || (net.len = 128 && net.type = NET_IP6));`, // && and || have the same precedence in BIRD
    '}',
    '',
    ...families.flatMap((family) => [
      `filter calico_learn${family}`,
      '{',
      '  if ! calico_workload() then { preference = 220; accept; }',
      `  if krt_metric > 0 && krt_metric < ${configured[family].normalRoutePriority} then preference = 250; else preference = 150;`,
      '  accept;',
      '}',
      '',
    ]),
  ];
}

function exportPolicy(family: IpFamily, { nodeAddress, normalRoutePriority, exportPrefixes, advertisements }: FamilyConfiguration): readonly string[] {
  const normal = localPrefOfMetricZero - normalRoutePriority;
  const configured = `source = RTS_INHERIT && net ~ [ ${exportPrefixes.map((prefix) => `${prefix}+`).join(', ')} ]`;
  return [
    '# What no filter may announce, and what every route carries before filters see it: the metric travels as LOCAL_PREF.',
    `function calico_prepare_export${family}()`,
    '{',
    '  if net.len = 0 then reject;',
    '  if source = RTS_DEVICE || source = RTS_STATIC then reject;',
    '  if source = RTS_INHERIT && calico_concealed() then reject;',
    `  if source = RTS_INHERIT then bgp_local_pref = ${normal};`,
    `  if calico_workload() && krt_metric > 0 then bgp_local_pref = ${localPrefOfMetricZero} - krt_metric;`,
    ...advertisements.map(
      ({ cidr, communities }) => `  if net ~ [ ${cidr}+ ] then { ${communities.map((community) => `${addCommunity(community)}; `).join('')}}`,
    ),
    '}',
    '',
    '# To a guest the way leads through its host: nobody else looks up the address of the guest.',
    `function calico_own_next_hop${family}()`,
    '{',
    ...(nodeAddress === undefined ? [] : [`  if ${isFromWorkload} then bgp_next_hop = ${nodeAddress};`]),
    '  return true;',
    '}',
    '',
    `function calico_export${family}(bool calico_reflect)`,
    '{',
    `  if calico_workload() || ${isFromWorkload} then accept;`,
    ...(exportPrefixes.length > 0 ? [`  if ${configured} && ! calico_concealed_network${family}() then accept;`] : []),
    '  if calico_reflect && source = RTS_BGP then accept;',
    '  reject;',
    '}',
    '',
  ];
}

function importPolicy({ families: configured }: BirdConfiguration): readonly string[] {
  const elevatedAbove = (family: IpFamily): number => localPrefOfMetricZero - configured[family].normalRoutePriority;
  return [
    '# The workload has arrived at the neighbour, and is known to be moving away from here.',
    'function calico_elevated()',
    '{',
    ...families.map((family) => `  if net.type = NET_IP${family} && bgp_local_pref > ${elevatedAbove(family)} then return calico_moving();`),
    '  return false;',
    '}',
    '',
    '# A guest speaks for itself alone: it is the next hop, and has no say in what others prefer or do with its routes.',
    'function calico_from_guest()',
    '{',
    '  if bgp_next_hop != from then reject;',
    `  bgp_local_pref = ${guestLocalPref};`,
    '  bgp_origin = ORIGIN_IGP;',
    '  unset(bgp_med);',
    '  unset(bgp_community);',
    '  unset(bgp_ext_community);',
    '  unset(bgp_large_community);',
    '}',
    '',
    'function calico_accept_import()',
    '{',
    `  if calico_elevated() then preference = ${elevatedPreference};`,
    '  accept;',
    '}',
    '',
  ];
}

/** Below that of every workload's own route, so that no guest takes another's address, on whatever host that is; the same for all, so that one address may be announced by many. */
const guestLocalPref = 100;

/** The preference of an elevated route, above that of a local workload's route (150). */
export const elevatedPreference = 200;

/** The netlink buffer must hold thousands of routes at once: each route that BIRD programs comes back as a notification, and a lost notification is noticed only at the next scan. */
const netlinkBufferBytes = 4 * 1024 * 1024;

/**
 * The kernel protocols do not depend on the datastore, because a changed parameter would restart them. The periodic scan finds what lost notifications have missed; it costs 1 ms
 * per thousand routes.
 */
function kernel(family: IpFamily): readonly string[] {
  return [
    "# No address on a tap says that the guest is next door: without this BIRD would not know its own route again when it reads the kernel's.",
    `filter calico_program${family}`,
    '{',
    `  if ${isFromWorkload} && dest = RTD_UNICAST then onlink = true;`,
    '  if source = RTS_BGP || source = RTS_STATIC then accept;',
    '  reject;',
    '}',
    '',
    `protocol kernel calico_kernel${family}`,
    '{',
    '  learn;',
    '  persist;',
    '  scan time 10;',
    '  graceful restart on;',
    '  merge paths on;',
    `  metric ${birdRouteMetric};`,
    `  netlink rx buffer ${netlinkBufferBytes};`,
    `  ipv${family} {`,
    `    import filter calico_learn${family};`,
    `    export filter calico_program${family};`,
    '  };',
    '}',
    '',
  ];
}

/** BFD's intervals: a neighbour next door is lost after half a second, others after 1.2 s, since there may be a thousand of them. */
const failureDetection: readonly string[] = [
  'protocol bfd calico_bfd',
  '{',
  '  interface "*" { interval 100 ms; multiplier 5; };',
  '  multihop { interval 300 ms; multiplier 4; };',
  '}',
  '',
];

/** The functions of all filters in use, each once. */
function usedFilters(sessions: readonly Session[]): readonly string[] {
  const functions = new Map<string, readonly string[]>();
  for (const { family, filters } of sessions) {
    for (const { filter } of filters) {
      if (!filter) continue;
      for (const direction of ['import', 'export'] as const) functions.set(filterSymbol(filter, direction, family), filterFunction(filter, direction, family));
    }
  }
  return [...functions.values()].flatMap((definition) => [...definition, '']);
}

function gatewayTo({ symbol, family, neighbor, reachableBy }: Session): readonly string[] {
  if (reachableBy === undefined) return [];
  const host = `${neighbor.address}/${family === 4 ? 32 : 128}`;
  return [`protocol static ${symbolOf('via', symbol.slice(1, -1))}`, '{', `  ipv${family};`, `  route ${host} via ${reachableBy};`, '}', ''];
}

/** A guest's routes end here unless a filter has taken them. A pair may be a prefix of any length, since tenants name them: so only its single addresses are taken without an operator's word. */
const ownAddressesOnly = ({ ownAddresses }: Session): string =>
  `${ownAddresses.length > 0 ? `if net ~ [ ${ownAddresses.join(', ')} ] then calico_accept_import(); ` : ''}reject;`;

type SessionFilter = { readonly name: string; readonly text: string };

/**
 * A session's import and export filters. They are named after their text, so sessions with the same text share one. If each session contained its filters, BIRD would compare
 * their names with all earlier ones: half a second for 10 000 sessions instead of a twentieth.
 */
function sessionFilters(session: Session): { readonly import: SessionFilter; readonly export: SessionFilter } {
  const { family, local, neighbor } = session;
  const external = local.asNumber !== neighbor.asNumber;
  const isWorkloads = session.trust === 'workload';
  const named = (direction: 'import' | 'export', statements: string): SessionFilter => {
    const name = `calico_${direction}_${shortDigest(statements, 12)}`;
    return { name, text: `filter ${name} { ${statements} };\n` };
  };
  return {
    import: named(
      'import',
      `${admit(session.trust)} ${isWorkloads ? 'calico_from_guest(); ' : ''}${calls(session, 'import', external)}${isWorkloads ? ownAddressesOnly(session) : 'calico_accept_import();'}`,
    ),
    export: named(
      'export',
      `calico_prepare_export${family}(); ${external || isWorkloads ? '' : `calico_own_next_hop${family}(); `}${calls(session, 'export', external)}${isWorkloads ? 'reject;' : `calico_export${family}(${session.reflector !== undefined});`}`,
    ),
  };
}

/** So many routes of one guest are held, taken or not. */
const mostOfGuest = 1000;

function sessionLines(
  session: Session,
  filters: ReturnType<typeof sessionFilters>,
  { bindToNodeAddress, holdSeconds, mostRoutes }: BirdConfiguration,
): readonly string[] {
  const { family, local, neighbor, transport } = session;
  const keepalive = session.keepaliveSeconds;
  const limit = session.trust === 'workload' ? Math.min(mostRoutes ?? mostOfGuest, mostOfGuest) : mostRoutes;
  const statement = (text: string | false | undefined): string[] => (text ? [`  ${text};`] : []);
  return [
    `protocol bgp ${session.symbol}`,
    '{',
    ...statement(`local ${local.address ? `${local.address} ` : ''}port ${local.port} as ${local.asNumber}`),
    ...statement(`neighbor ${neighbor.address} port ${neighbor.port} as ${neighbor.asNumber}`),
    ...statement(transport.kind === 'direct' ? 'direct' : `multihop${transport.hops === undefined ? '' : ` ${transport.hops}`}`),
    ...statement(session.ttlSecurity && 'ttl security on'),
    ...statement(bindToNodeAddress && local.address !== undefined && 'strict bind on'),
    ...statement(session.passive && 'passive on'),
    ...statement(session.password && `password ${session.password}`),
    ...statement(`hold time ${session.holdSeconds ?? Math.max(holdSeconds, (keepalive ?? 0) * 3)}`),
    ...statement(keepalive !== undefined && `keepalive time ${keepalive}`),
    ...statement('connect delay time 1'), // the least that BIRD allows
    ...statement('connect retry time 10'), // at 2 s, thousands of dead neighbours would cost half a core
    ...statement('error wait time 1, 30'),
    ...statement(session.bfd && 'bfd on'),
    ...statement('graceful restart on'),
    ...statement(session.restartSeconds !== undefined && `graceful restart time ${session.restartSeconds}`),
    ...statement(session.trust === 'workload' && local.asNumber !== neighbor.asNumber && 'enforce first as on'),
    ...statement(session.allowedLocalAsNumbers !== undefined && `allow local as ${session.allowedLocalAsNumbers}`),
    ...statement(session.reflector?.neighborIsClient && 'rr client'),
    ...statement(session.reflector && `rr cluster id ${session.reflector.clusterId}`),
    `  ipv${family} {`,
    ...(transport.kind === 'direct' ? [] : ['    gateway recursive;', `    igp table calico_igp${family};`]),
    // Lets BIRD list what it refuses. Not for sessions whose operator's filters may refuse a whole routing table.
    ...(session.trust === 'host' || session.trust === 'workload' || session.filters.length === 0 ? ['    import keep filtered on;'] : []),
    '    rpki reload off;',
    ...(limit === undefined ? [] : [`    receive limit ${limit} action block;`]),
    ...(session.nextHop === 'auto' ? [] : [`    next hop ${session.nextHop} on;`]),
    `    import filter ${filters.import.name};`,
    `    export filter ${filters.export.name};`,
    '  };',
    '}',
    '',
  ];
}

/** Calls of the operator's filters, up to the first missing one, in whose place everything is rejected. */
function calls({ filters, family }: Session, direction: 'import' | 'export', external: boolean): string {
  const call = ({ filter }: FilterUse): string => (filter ? `${filterSymbol(filter, direction, family)}(${external}); ` : 'reject; ');
  return filters.map(call).join('');
}
