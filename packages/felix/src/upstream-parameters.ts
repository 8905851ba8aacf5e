// Parameters of Calico's Felix that this one does not act on. An operator who has set one is told so once, instead of believing that it is in force.
import { type Complaint, shownValue, type Unknown } from '@calico-openstack/agent';

/** Calico's Felix as of 3.32, and what earlier versions knew, without what `option-table.ts` acts on. */
const notActedOn = `
AWSSrcDstCheck BPFAttachType BPFConnectTimeLoadBalancing BPFConnectTimeLoadBalancingEnabled BPFConntrackCleanupMode BPFConntrackLogLevel BPFConntrackTimeouts BPFCTLBLogFilter
BPFDataIfacePattern BPFDisableGROForIfaces BPFDisableUnprivileged BPFDSROptoutCIDRs BPFEnabled BPFEnforceRPF BPFExcludeCIDRsFromNAT BPFExportBufferSizeMB BPFExtToServiceConnmark
BPFExternalServiceMode BPFForceTrackPacketsFromIfaces BPFHostConntrackBypass BPFHostNetworkedNATWithoutCTLB BPFJITHardening BPFKubeProxyHealthzPort BPFKubeProxyIptablesCleanupEnabled
BPFKubeProxyMinSyncPeriod BPFL3IfacePattern BPFLogFilters BPFLogLevel BPFMaglevMaxEndpointsPerService BPFMaglevMaxServices BPFMapSizeConntrack BPFMapSizeConntrackCleanupQueue
BPFMapSizeConntrackScaling BPFMapSizeIfState BPFMapSizeIPSets BPFMapSizeNATAffinity BPFMapSizeNATBackend BPFMapSizeNATFrontend BPFMapSizePerCPUConntrack BPFMapSizeRoute
BPFPolicyDebugEnabled BPFProfiling BPFPSNATPorts BPFRedirectToPeer CalicoVersion CgroupV2Path ChainInsertMode ClusterGUID ClusterType DataplaneDriver DataplaneWatchdogTimeout
DebugBPFCgroupV2 DebugCPUProfilePath DebugDisableLogDropping DebugHost DebugMemoryProfilePath DebugPanicAfter DebugPort DebugSimulateCalcGraphHangAfter
DebugSimulateDataplaneApplyDelay DebugSimulateDataplaneHangAfter DebugSimulateDataRace DeviceRouteSourceAddress DeviceRouteSourceAddressIPv6 EarlyLogSeverityScreen
EndpointReportingDelaySecs EndpointStatusPathPrefix ExternalNodesCIDRList FailsafeInboundHostPorts FailsafeOutboundHostPorts FeatureDetectOverride FeatureGates FloatingIPs
FlowLogsCollectorDebugTrace FlowLogsFlushInterval FlowLogsGoldmaneServer FlowLogsLocalReporter FlowLogsPolicyEvaluationMode GenericXDPEnabled GoGCThreshold GoMaxProcs GoMemoryLimitMB
HealthTimeoutOverrides InterfaceExclude InterfaceRefreshInterval IpInIpEnabled IpInIpMtu IpInIpTunnelAddr IpsetsRefreshInterval IptablesBackend IptablesFilterAllowAction
IptablesFilterDenyAction IptablesLockProbeIntervalMillis IptablesMangleAllowAction IptablesMarkMask IptablesNATOutgoingInterfaceFilter IptablesPostWriteCheckIntervalSecs
IptablesRefreshInterval IPv4ElevatedRoutePriority IPv4VXLANTunnelAddr IPv6ElevatedRoutePriority IPv6VXLANTunnelAddr IstioAmbientMode IstioDSCPMark KubeNodePortRanges
LiveMigrationRouteConvergenceTime LocalSubnetL2Reachability LogDebugFilenameRegex LogSeveritySys MaxIpsetSize MTUIfacePattern NATOutgoingAddress NATOutgoingExclusions NATPortRange
NetlinkTimeoutSecs NftablesFilterAllowAction NftablesMangleAllowAction NFTablesFlowTableOffload NFTablesMode PolicySyncPathPrefix ProgramClusterRoutes PrometheusGoMetricsEnabled
PrometheusMetricsCAFile PrometheusMetricsCertFile PrometheusMetricsClientAuth PrometheusMetricsKeyFile PrometheusProcessMetricsEnabled PrometheusWireGuardMetricsEnabled RequireMTUFile
RouteSource RouteSyncDisabled RouteTableRange RouteTableRanges ServiceLoopPrevention SidecarAccelerationEnabled TyphaAddr TyphaCAFile TyphaCertFile TyphaCN TyphaK8sNamespace
TyphaK8sServiceName TyphaKeyFile TyphaReadTimeout TyphaURISAN TyphaWriteTimeout UsageReportingEnabled UsageReportingInitialDelaySecs UsageReportingIntervalSecs
UseInternalDataplaneDriver Variant VXLANEnabled VXLANMTU VXLANMTUV6 VXLANTunnelMACAddr VXLANTunnelMACAddrV6 VXLANVNI WindowsManageFirewallRules WireguardEnabled WireguardEnabledV6
WireguardHostEncryptionEnabled WireguardInterfaceName WireguardInterfaceNameV6 WireguardListeningPort WireguardListeningPortV6 WireguardMTU WireguardMTUV6 WireguardPersistentKeepAlive
WireguardRoutingRulePriority WireguardThreadingEnabled XDPEnabled XDPRefreshInterval
BpfIpv6Support BPFKubeProxyEndpointSlicesEnabled DebugBPFMapRepinEnabled IptablesLockFilePath IptablesLockTimeoutSecs NFTablesFlowTableDataIfacePattern
`;

const no = /^(false|0|no|n|f|none|disabled)$/i;

/** What such a parameter may say without a word of ours, since this Felix does just that. */
const agreed: Readonly<Record<string, RegExp>> = {
  BPFEnabled: no,
  EndpointStatusPathPrefix: /^none$/i,
  FloatingIPs: /^disabled$/i,
  IpInIpEnabled: no,
  LogSeveritySys: /^none$/i,
  NFTablesMode: /^(enabled|auto)$/i,
  // Another table's chains judge what ours let through, whichever of the two is said.
  NftablesFilterAllowAction: /^(accept|return)$/i,
  NftablesMangleAllowAction: /^(accept|return)$/i,
  PrometheusMetricsClientAuth: /^(NoClientCert|none)$/i,
  PrometheusMetricsCAFile: /^none$/i,
  PrometheusMetricsCertFile: /^none$/i,
  PrometheusMetricsKeyFile: /^none$/i,
  UsageReportingEnabled: no,
  UseInternalDataplaneDriver: /^(true|1|yes|y|t)$/i,
  VXLANEnabled: no,
  WireguardEnabled: no,
  WireguardEnabledV6: no,
  WireguardHostEncryptionEnabled: no,
};

const plainMetrics =
  'this Felix serves metrics without TLS alone, so it serves none; serve them on localhost behind a proxy that has TLS, and remove this parameter';
const noWireguard = 'this Felix encrypts nothing; remove this parameter if traffic between hosts may be read on its way';

/** What somebody's security rests on: it must not be ignored. */
const secures: Readonly<Record<string, string>> = {
  PrometheusMetricsCAFile: plainMetrics,
  PrometheusMetricsCertFile: plainMetrics,
  PrometheusMetricsClientAuth: plainMetrics,
  PrometheusMetricsKeyFile: plainMetrics,
  WireguardEnabled: noWireguard,
  WireguardEnabledV6: noWireguard,
  WireguardHostEncryptionEnabled: noWireguard,
};

/** Whether a complaint says that somebody wants metrics for those with a certificate alone: then nobody must have them without. */
export const wantsEncryptedMetrics = ({ option, problem }: Complaint): boolean => option.startsWith('PrometheusMetrics') && secures[option] === problem;

/** More that there is to say of some. */
const instead: Readonly<Record<string, string>> = {
  IptablesMarkMask: 'NftablesMarkMask is the one that counts',
  IptablesFilterDenyAction: 'NftablesFilterDenyAction is the one that counts',
  IptablesRefreshInterval: 'NftablesRefreshInterval is the one that counts',
  LogSeveritySys: 'the log goes to LogFilePath and to standard output',
  FailsafeInboundHostPorts: "the host's own interfaces are not policed",
  FailsafeOutboundHostPorts: "the host's own interfaces are not policed",
  TyphaAddr: 'etcd is read directly',
};

/** Of a name that is no parameter's, somebody may have made it as long as they like. */
const longestName = 80;

/** Fields of FelixConfiguration that are not called as their parameter. */
const fields: Readonly<Record<string, string>> = {
  EndpointReportingDelaySecs: 'endpointReportingDelay',
  IpInIpEnabled: 'ipipEnabled',
  IpInIpMtu: 'ipipMTU',
  IptablesLockProbeIntervalMillis: 'iptablesLockProbeInterval',
  IptablesPostWriteCheckIntervalSecs: 'iptablesPostWriteCheckInterval',
  NetlinkTimeoutSecs: 'netlinkTimeout',
  UsageReportingInitialDelaySecs: 'usageReportingInitialDelay',
  UsageReportingIntervalSecs: 'usageReportingInterval',
};

const byName = new Map(notActedOn.split(/\s+/).flatMap((name) => [name, fields[name] ?? name].map((each) => [each.toLowerCase(), name] as const)));
byName.delete('');

/** The parameters of Calico's Felix that this one knows by name alone. */
export const parametersNotActedOn: ReadonlySet<string> = new Set(byName.values());

/**
 * What is to be said of a name that is no parameter of this Felix; nothing where Calico's Felix would do what this one does. A parameter that secures something stops the start where
 * the host's own configuration sets it. FelixConfiguration is for all hosts at once, which must not all end: there it is reported.
 */
export function complaintOf({ name, text, source }: Unknown): Complaint | undefined {
  const parameter = byName.get(source.dialect === 'environment' ? name.slice('felix_'.length) : name);
  const told = { source: source.name, value: shownValue(name, text) };
  // Its text is not shown: a password's name may be what is misspelt.
  if (parameter === undefined)
    return {
      option: name.slice(0, longestName),
      source: source.name,
      value: '…',
      problem: "neither this Felix nor Calico's has such a parameter; it is ignored, so see that its name is right",
    };
  if (agreed[parameter]?.test(text.trim())) return undefined;
  const secured = secures[parameter];
  if (secured !== undefined) return { option: parameter, ...told, problem: secured, ...(source.dialect !== 'resource' && { stops: true }) };
  const more = instead[parameter];
  return { option: parameter, ...told, problem: `this Felix does not act on it${more === undefined ? '' : `: ${more}`}` };
}
