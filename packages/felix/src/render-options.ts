// Derives the renderer's options from the parameters.
import type { RenderOptions } from '@calico-openstack/render';
import { bitsOf, type FelixConfig } from './option-table.ts';

/** The renderer's options for these parameters. `unstamped` and `stamps` are replaced while a take-over is in progress (stamping.ts). */
export function renderOptions(config: FelixConfig): RenderOptions {
  const [acceptMark, passMark, egress, ingress] = bitsOf(config.NftablesMarkMask);
  return {
    interfacePrefixes: config.InterfacePrefix,
    ...(config.MetadataAddr && config.MetadataPort > 0 && { metadata: { address: config.MetadataAddr, port: config.MetadataPort } }),
    endpointToHostAction: config.DefaultEndpointToHostAction,
    denyAction: config.NftablesFilterDenyAction,
    acceptMark: acceptMark!,
    passMark: passMark!,
    stamps: { egress: egress!, ingress: ingress! },
    unstamped: 'judge',
    ipv6: config.Ipv6Support,
    allowVxlanFromWorkloads: config.AllowVXLANPacketsFromWorkloads,
    allowIpipFromWorkloads: config.AllowIPIPPacketsFromWorkloads,
    vxlanPort: config.VXLANPort,
    natOutgoing: {
      ...(config.NATOutgoingAddress && { address: config.NATOutgoingAddress }),
      ...(config.NATPortRange && { ports: config.NATPortRange }),
      ...(config.IptablesNATOutgoingInterfaceFilter && { leavesBy: config.IptablesNATOutgoingInterfaceFilter }),
      exceptHosts: config.NATOutgoingExclusions === 'IPPoolsAndHostIPs',
    },
    dropInvalid: !config.DisableConntrackInvalidCheck,
    logPrefix: config.LogPrefix,
    ...(config.LogActionRateLimit && { logLimit: { ...config.LogActionRateLimit, burst: config.LogActionRateLimitBurst } }),
    failsafes: { inbound: config.FailsafeInboundHostPorts, outbound: config.FailsafeOutboundHostPorts },
    antiSpoofLinkLayer: config.WorkloadLinkLayerCheck === 'Enabled',
  };
}
