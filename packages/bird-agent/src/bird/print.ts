// Prints the configuration for BIRD 2. Our own symbols begin with `calico_`, so that none is a keyword of this or a later BIRD.
import { addressBits, type IpFamily } from '@calico-openstack/addresses';
import { blackholeMetric, leavingMetric, shortDigest } from '@calico-openstack/datamodel';
import { type KeptRuns, keptRuns } from '../kept.ts';
import type { LogSeverity } from '../resources/bgp-configuration.ts';
import { type BirdConfiguration, birdRouteMetric, type FamilyConfiguration, type FilterUse, type Session } from './configuration.ts';
import { addCommunity, filterFunction, filterSymbol, localPrefOfMetricZero } from './filters.ts';
import { admit, createGuardPrinter, type GuardPrinter, guardFunctions, isFromWorkload, leadsToNextHops } from './guards.ts';
import { partOf, partOfText, symbol as symbolOf, type TextPart } from './text.ts';

const families = [4, 6] as const satisfies readonly IpFamily[];

/** The constant that identifies the configuration of a running BIRD: `eval calico_revision` on its control socket. */
export const revisionSymbol = 'calico_revision';

/** A printed configuration. */
export type PrintedConfiguration = {
  /** The text. Most parts are the same objects as those of the last text. */
  readonly parts: readonly Uint8Array[];
  readonly revision: string;
  /** A digest of the data that decides which routes are accepted. */
  readonly guards: string;
};

/** Prints the whole file and its revision, a digest of the rest. The same configuration always gives the same text. */
export type Printer = (configuration: BirdConfiguration) => PrintedConfiguration;

/** Creates a printer that remembers what it has printed of each session and guarded address, so that the next text costs what has changed. */
export function createPrinter(): Printer {
  const memory: Memory = {
    guards: { 4: createGuardPrinter(4), 6: createGuardPrinter(6) },
    sessions: keptRuns<Session, PrintedSession, PrintedRun>(({ symbol }) => symbol),
  };
  return (configuration) => print(configuration, memory);
}

/** Prints a configuration from scratch, without remembered parts. */
export const printConfiguration: Printer = (configuration) => createPrinter()(configuration);

/** The whole text. */
export const textOf = ({ parts }: Pick<PrintedConfiguration, 'parts'>): string => Buffer.concat(parts).toString();

type Memory = {
  readonly guards: { readonly [family in IpFamily]: GuardPrinter };
  readonly sessions: KeptRuns<Session, PrintedSession, PrintedRun>;
};

function print(configuration: BirdConfiguration, memory: Memory): PrintedConfiguration {
  const { bindToNodeAddress, holdSeconds, mostRoutes, logSeverity, families: configured } = configuration;
  const guarded = families.flatMap((family) => memory.guards[family](configured[family].guards));
  const guards = digestOf(guarded);
  const settings = JSON.stringify([bindToNodeAddress, holdSeconds, mostRoutes, logSeverity]);
  const sessions = memory.sessions(configuration.sessions, settings, (session) => printSession(session, configuration), printRun);
  const head = [partOf(general(configuration)), guardFunctionsPart];
  const tail = [
    partOf(behindGuards(configuration)),
    partOf(sessions.some(({ bfd }) => bfd) ? failureDetection : []),
    ...definitionLists.map((list) => partOf(used(sessions, list).map(({ text }) => text))),
    ...sessions.map(({ part }) => part),
  ];
  const revision = digestOf([...head, { digest: guards }, ...tail]);
  const beginning = `# Written by calico-bird-agent from the datastore: changes made here are lost.\ndefine ${revisionSymbol} = "${revision}";\n`;
  return { parts: [partOf([beginning]), ...head, ...guarded, ...tail].map(({ bytes }) => bytes), revision, guards };
}

/** The beginning of the file, which does not depend on the configuration. */
const guardFunctionsPart = partOf(guardFunctions(families));

const digestOf = (parts: readonly Pick<TextPart, 'digest'>[]): string => shortDigest(parts.map(({ digest }) => digest).join('\n'), 24);

/** The definitions that sessions share, in the order in which BIRD needs them. */
const definitionLists = ['functions', 'filters', 'templates'] as const;
type DefinitionList = (typeof definitionLists)[number];

type Definition = { readonly name: string; readonly text: string };
/** A session's text, and the definitions that it uses. */
type PrintedSession = { readonly [list in DefinitionList]: readonly Definition[] } & { readonly text: string; readonly bfd: boolean };
/** The text and the definitions of a run of sessions, with each definition once. */
type PrintedRun = { readonly [list in DefinitionList]: readonly Definition[] } & { readonly part: TextPart; readonly bfd: boolean };

function printSession(session: Session, configuration: BirdConfiguration): PrintedSession {
  const filters = sessionFilters(session);
  const template = sessionTemplate(session, filters, configuration);
  return {
    functions: usedFunctions(session),
    filters: Object.values(filters),
    templates: [template],
    text: [...gatewayTo(session), ...sessionLines(session, template.name)].map((line) => `${line}\n`).join(''),
    bfd: session.bfd,
  };
}

const printRun = (sessions: readonly PrintedSession[]): PrintedRun => ({
  part: partOfText(sessions.map(({ text }) => text).join('')),
  bfd: sessions.some(({ bfd }) => bfd),
  functions: used(sessions, 'functions'),
  filters: used(sessions, 'filters'),
  templates: used(sessions, 'templates'),
});

/** The definitions that are used, each once. */
function used(printed: readonly { readonly [list in DefinitionList]: readonly Definition[] }[], list: DefinitionList): readonly Definition[] {
  const byName = new Map<string, Definition>();
  for (const each of printed) for (const definition of each[list]) byName.set(definition.name, definition);
  return [...byName.values()];
}

const behindGuards = (configuration: BirdConfiguration): readonly string[] => [
  ...families.flatMap((family) => nextHops(family, configuration)),
  ...workloads(configuration),
  ...families.flatMap((family) => exportPolicy(family, configuration.families[family])),
  ...importPolicy(configuration),
  ...families.flatMap((family) => kernel(family)),
];

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
      // Felix's blackhole for a workload that leaves this host is not announced. On other hosts it would attract packets that the workload's new host must get.
      `  if dest = RTD_BLACKHOLE && krt_source = ${deviceRouteProtocol} && krt_metric = ${blackholeMetric} then reject;`,
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
    '# External BGP carries no LOCAL_PREF: there the way to a workload that leaves this host is made longer than any way through a fabric to its new host, and the way to a single',
    '# address that a guest announces longer than any way to the workload whose own address that may be.',
    `function calico_step_back${family}(int own)`,
    '{',
    `  if (calico_workload() && krt_metric = ${leavingMetric(normalRoutePriority)}) || (${isFromWorkload} && net.len = ${addressBits(family)}) then {`,
    ...Array.from({ length: steppedBackLength }, () => '    bgp_path.prepend(own);'),
    '  }',
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
    '# The workload is known to be moving away from here, and has arrived where this route leads. In external BGP, where nothing tells that, any way to another host counts: the new host announces none before.',
    'attribute int calico_outside;',
    'function calico_elevated()',
    '{',
    '  if defined(calico_outside) && ! (bgp_path ~ [= * (calico_outside) * =]) then return calico_moving();',
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

/** How often a host's AS number is added to the path of a route that others are to beat: more often than there are networks on the way through a fabric. */
const steppedBackLength = 10;

/** The LOCAL_PREF of routes from guests. It is below that of every workload's own route, so that no guest takes over another's address on any host. It is the same for all guests, so that several may announce one address. */
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

/** BFD's intervals. They detect the loss of a neighbour next door after half a second, and of others after 1.2 s, because there may be a thousand of them. */
const failureDetection: readonly string[] = [
  'protocol bfd calico_bfd',
  '{',
  '  interface "*" { interval 100 ms; multiplier 5; };',
  '  multihop { interval 300 ms; multiplier 4; };',
  '}',
  '',
];

/** The functions of a session's BGPFilters. */
const usedFunctions = ({ family, filters }: Session): readonly Definition[] =>
  filters.flatMap(({ filter }) =>
    filter
      ? (['import', 'export'] as const).map(
          (direction): Definition => ({
            name: filterSymbol(filter, direction, family),
            text: `${filterFunction(filter, direction, family).join('\n')}\n`,
          }),
        )
      : [],
  );

function gatewayTo({ symbol, family, neighbor, reachableBy }: Session): readonly string[] {
  if (reachableBy === undefined) return [];
  const host = `${neighbor.address}/${family === 4 ? 32 : 128}`;
  return [`protocol static ${symbolOf('via', symbol.slice(1, -1))}`, '{', `  ipv${family};`, `  route ${host} via ${reachableBy};`, '}', ''];
}

/** The last statement of a guest's import filter: it accepts the workload's own single addresses and rejects all other routes that no filter has accepted. Allowed address pairs may be prefixes of any length, because tenants choose them, so prefixes need an operator's filter. */
const ownAddressesOnly = ({ ownAddresses }: Session): string =>
  `${ownAddresses.length > 0 ? `if net ~ [ ${ownAddresses.join(', ')} ] then calico_accept_import(); ` : ''}reject;`;

/**
 * A session's import and export filters. They are named after their text, so sessions with the same text share one. If each session contained its filters, BIRD would compare
 * their names with all earlier ones: half a second for 10 000 sessions instead of a twentieth.
 */
function sessionFilters(session: Session): { readonly import: Definition; readonly export: Definition } {
  const { family } = session;
  const external = isExternal(session);
  const isWorkloads = session.trust === 'workload';
  const outside = external && !isWorkloads;
  const named = (direction: 'import' | 'export', statements: string): Definition => {
    const name = `calico_${direction}_${shortDigest(statements, 12)}`;
    return { name, text: `filter ${name} { ${statements} };\n` };
  };
  return {
    import: named(
      'import',
      `${admit(session.trust)} ${outside ? `calico_outside = ${session.local.asNumber}; ` : ''}${isWorkloads ? 'calico_from_guest(); ' : ''}${calls(session, 'import', external)}${isWorkloads ? ownAddressesOnly(session) : 'calico_accept_import();'}`,
    ),
    export: named(
      'export',
      `calico_prepare_export${family}(); ${outside ? `calico_step_back${family}(${session.local.asNumber}); ` : ''}${external || isWorkloads ? '' : `calico_own_next_hop${family}(); `}${calls(session, 'export', external)}${isWorkloads ? 'reject;' : `calico_export${family}(${session.reflector !== undefined});`}`,
    ),
  };
}

/** The greatest number of routes that BIRD keeps of one guest, whether accepted or not. */
const mostOfGuest = 1000;

/**
 * The settings that a session has in common with others, as a template that is named after its text. Thousands of sessions of a mesh differ only in their neighbours, so BIRD reads one line
 * for each of them instead of twenty. The password stays in the session, because nothing that is derived from it may become a name.
 */
function sessionTemplate(
  session: Session,
  filters: ReturnType<typeof sessionFilters>,
  { bindToNodeAddress, holdSeconds, mostRoutes, logSeverity }: BirdConfiguration,
): Definition {
  const { family, local, transport } = session;
  const external = isExternal(session);
  const keepalive = session.keepaliveSeconds;
  const limit = session.trust === 'workload' ? Math.min(mostRoutes ?? mostOfGuest, mostOfGuest) : mostRoutes;
  const lines = [
    '{',
    ...statement(`local ${local.address ? `${local.address} ` : ''}port ${local.port} as ${local.asNumber}`),
    ...statement(transport.kind === 'direct' ? 'direct' : `multihop${transport.hops === undefined ? '' : ` ${transport.hops}`}`),
    ...statement(session.ttlSecurity && 'ttl security on'),
    ...statement(bindToNodeAddress && local.address !== undefined && 'strict bind on'),
    ...statement(session.passive && 'passive on'),
    ...statement(`hold time ${session.holdSeconds ?? Math.max(holdSeconds, (keepalive ?? 0) * 3)}`),
    ...statement(keepalive !== undefined && `keepalive time ${keepalive}`),
    ...statement('connect delay time 1'), // the smallest value that BIRD allows
    ...statement('connect retry time 10'), // at 2 s, thousands of dead neighbours would cost half a core
    ...statement('error wait time 1, 30'),
    // Changes of states are not logged, because BIRD would log "Reconfigured" for every session whenever any has changed. Errors are logged anyway.
    ...statement(session.isOneOfMany && logSeverity === 'Info' && 'debug off'),
    ...statement(session.bfd && 'bfd on'),
    ...statement('graceful restart on'),
    ...statement(session.restartSeconds !== undefined && `graceful restart time ${session.restartSeconds}`),
    ...statement(session.trust === 'workload' && external && 'enforce first as on'),
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
  ].join('\n');
  const name = `calico_session_${shortDigest(lines, 12)}`;
  return { name, text: `template bgp ${name}\n${lines}` };
}

const isExternal = ({ local, neighbor }: Session): boolean => local.asNumber !== neighbor.asNumber;

const statement = (text: string | false | undefined): readonly string[] => (text ? [`  ${text};`] : []);

const sessionLines = ({ symbol, neighbor, password }: Session, template: string): readonly string[] => [
  `protocol bgp ${symbol} from ${template}`,
  '{',
  ...statement(`neighbor ${neighbor.address} port ${neighbor.port} as ${neighbor.asNumber}`),
  ...statement(password !== undefined && `password ${password}`),
  '}',
  '',
];

/** Calls of the operator's filters, up to the first missing one, in whose place everything is rejected. */
function calls({ filters, family }: Session, direction: 'import' | 'export', external: boolean): string {
  const call = ({ filter }: FilterUse): string => (filter ? `${filterSymbol(filter, direction, family)}(${external}); ` : 'reject; ');
  return filters.map(call).join('');
}
