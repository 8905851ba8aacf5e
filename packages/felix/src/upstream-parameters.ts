// Parameters of Calico's Felix that have no effect in this one. An operator who has set one gets a complaint once, instead of believing that it is in force.
import { type Complaint, shownValue, type Unknown } from '@calico-openstack/agent';

/** The parameters of Calico's Felix 3.32 and of earlier versions, without those in `option-table.ts`. */
const notActedOn = `
AWSSrcDstCheck BPFAttachType BPFConnectTimeLoadBalancing BPFConnectTimeLoadBalancingEnabled BPFConntrackCleanupMode BPFConntrackLogLevel BPFConntrackTimeouts BPFCTLBLogFilter
BPFDataIfacePattern BPFDisableGROForIfaces BPFDisableUnprivileged BPFDSROptoutCIDRs BPFEnabled BPFEnforceRPF BPFExcludeCIDRsFromNAT BPFExportBufferSizeMB BPFExtToServiceConnmark
BPFExternalServiceMode BPFForceTrackPacketsFromIfaces BPFHostConntrackBypass BPFHostNetworkedNATWithoutCTLB BPFJITHardening BPFKubeProxyHealthzPort BPFKubeProxyIptablesCleanupEnabled
BPFKubeProxyMinSyncPeriod BPFL3IfacePattern BPFLogFilters BPFLogLevel BPFMaglevMaxEndpointsPerService BPFMaglevMaxServices BPFMapSizeConntrack BPFMapSizeConntrackCleanupQueue
BPFMapSizeConntrackScaling BPFMapSizeIfState BPFMapSizeIPSets BPFMapSizeNATAffinity BPFMapSizeNATBackend BPFMapSizeNATFrontend BPFMapSizePerCPUConntrack BPFMapSizeRoute
BPFPolicyDebugEnabled BPFProfiling BPFPSNATPorts BPFRedirectToPeer CalicoVersion CgroupV2Path ChainInsertMode ClusterGUID ClusterType DataplaneDriver DataplaneWatchdogTimeout
DebugBPFCgroupV2 DebugCPUProfilePath DebugDisableLogDropping DebugHost DebugMemoryProfilePath DebugPanicAfter DebugPort DebugSimulateCalcGraphHangAfter
DebugSimulateDataplaneApplyDelay DebugSimulateDataplaneHangAfter DebugSimulateDataRace DeviceRouteSourceAddress DeviceRouteSourceAddressIPv6 EarlyLogSeverityScreen
EndpointReportingDelaySecs EndpointStatusPathPrefix ExternalNodesCIDRList FeatureDetectOverride FeatureGates FloatingIPs
FlowLogsCollectorDebugTrace FlowLogsFlushInterval FlowLogsGoldmaneServer FlowLogsLocalReporter FlowLogsPolicyEvaluationMode GenericXDPEnabled GoGCThreshold GoMaxProcs GoMemoryLimitMB
HealthTimeoutOverrides InterfaceExclude InterfaceRefreshInterval IpInIpEnabled IpInIpMtu IpInIpTunnelAddr IpsetsRefreshInterval IptablesBackend IptablesFilterAllowAction
IptablesFilterDenyAction IptablesLockProbeIntervalMillis IptablesMangleAllowAction IptablesMarkMask IptablesPostWriteCheckIntervalSecs
IptablesRefreshInterval IPv4VXLANTunnelAddr IPv6VXLANTunnelAddr IstioAmbientMode IstioDSCPMark KubeNodePortRanges
LocalSubnetL2Reachability LogDebugFilenameRegex MaxIpsetSize MTUIfacePattern
NetlinkTimeoutSecs NftablesFilterAllowAction NftablesMangleAllowAction NFTablesFlowTableOffload NFTablesMode PolicySyncPathPrefix ProgramClusterRoutes PrometheusGoMetricsEnabled
PrometheusProcessMetricsEnabled PrometheusWireGuardMetricsEnabled RequireMTUFile
RouteSource RouteSyncDisabled RouteTableRange RouteTableRanges ServiceLoopPrevention SidecarAccelerationEnabled TyphaAddr TyphaCAFile TyphaCertFile TyphaCN TyphaK8sNamespace
TyphaK8sServiceName TyphaKeyFile TyphaReadTimeout TyphaURISAN TyphaWriteTimeout UsageReportingEnabled UsageReportingInitialDelaySecs UsageReportingIntervalSecs
UseInternalDataplaneDriver Variant VXLANEnabled VXLANMTU VXLANMTUV6 VXLANTunnelMACAddr VXLANTunnelMACAddrV6 VXLANVNI WindowsManageFirewallRules WireguardEnabled WireguardEnabledV6
WireguardHostEncryptionEnabled WireguardInterfaceName WireguardInterfaceNameV6 WireguardListeningPort WireguardListeningPortV6 WireguardMTU WireguardMTUV6 WireguardPersistentKeepAlive
WireguardRoutingRulePriority WireguardThreadingEnabled XDPEnabled XDPRefreshInterval
BpfIpv6Support BPFKubeProxyEndpointSlicesEnabled DebugBPFMapRepinEnabled IptablesLockFilePath IptablesLockTimeoutSecs NFTablesFlowTableDataIfacePattern
`;

const no = /^(false|0|no|n|f|none|disabled)$/i;

/** The texts of such parameters that need no complaint, because this Felix behaves as they say. */
const agreed: Readonly<Record<string, RegExp>> = {
  BPFEnabled: no,
  EndpointStatusPathPrefix: /^none$/i,
  FloatingIPs: /^disabled$/i,
  IpInIpEnabled: no,
  NFTablesMode: /^(enabled|auto)$/i,
  // Chains of other tables judge the packets that ours allow, with either of the two texts.
  NftablesFilterAllowAction: /^(accept|return)$/i,
  NftablesMangleAllowAction: /^(accept|return)$/i,
  PrometheusGoMetricsEnabled: no,
  PrometheusProcessMetricsEnabled: /^(true|1|yes|y|t)$/i,
  UsageReportingEnabled: no,
  UseInternalDataplaneDriver: /^(true|1|yes|y|t)$/i,
  VXLANEnabled: no,
  WireguardEnabled: no,
  WireguardEnabledV6: no,
  WireguardHostEncryptionEnabled: no,
};

const noWireguard = 'this Felix encrypts nothing; remove this parameter if traffic between hosts may be read on its way';

/** Parameters on which somebody's security depends, so that they must not be ignored, with what to do. */
const secures: Readonly<Record<string, string>> = {
  WireguardEnabled: noWireguard,
  WireguardEnabledV6: noWireguard,
  WireguardHostEncryptionEnabled: noWireguard,
};

/** An addition to the complaint about some parameters. */
const instead: Readonly<Record<string, string>> = {
  IptablesMarkMask: 'NftablesMarkMask is the one that counts',
  IptablesFilterDenyAction: 'NftablesFilterDenyAction is the one that counts',
  IptablesRefreshInterval: 'NftablesRefreshInterval is the one that counts',
  TyphaAddr: 'etcd is read directly',
  PrometheusGoMetricsEnabled: 'it has no Go',
};

/** How many characters of an unknown name are shown. */
const longestName = 80;

/** The fields of FelixConfiguration whose names differ from their parameters' names, by parameter. */
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

/** The parameters of Calico's Felix that have no effect in this one. */
export const parametersNotActedOn: ReadonlySet<string> = new Set(byName.values());

/**
 * The complaint about a name that is not a parameter of this Felix; undefined when this Felix behaves as the parameter says. A parameter that secures something stops the start if the
 * host's own configuration sets it. In FelixConfiguration it is only reported, because that concerns all hosts, which must not all end.
 */
export function complaintOf({ name, text, source }: Unknown): Complaint | undefined {
  const parameter = byName.get(source.dialect === 'environment' ? name.slice('felix_'.length) : name);
  const told = { source: source.name, value: shownValue(name, text) };
  // The text of an unknown name is not shown, because the name may be a misspelt password.
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
