// What follows from the values in force: for the connection to etcd, for the log, for the renderer.
import type { LogDestinations } from '@calico-openstack/agent';
import type { EtcdOptions } from '@calico-openstack/etcd/types';
import type { RenderOptions } from '@calico-openstack/render';
import type { FelixConfig } from './parameters.ts';
import { bitsOf } from './parsers.ts';

export function etcdOptions(config: FelixConfig): EtcdOptions {
  const { EtcdCaFile: caFile, EtcdCertFile: certFile, EtcdKeyFile: keyFile, EtcdUsername: username, EtcdPassword: password } = config;
  return {
    endpoints: config.EtcdEndpoints ?? [`${config.EtcdScheme}://${config.EtcdAddr}`],
    ...(caFile && { caFile }),
    ...(certFile && { certFile }),
    ...(keyFile && { keyFile }),
    ...(username && { username }),
    ...(password && { password }),
  };
}

export function logDestinations({ LogSeverityScreen: screen, LogFilePath: path, LogSeverityFile: severity }: FelixConfig): LogDestinations {
  return { screen, file: path && severity ? { path, severity } : undefined };
}

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
    dropInvalid: !config.DisableConntrackInvalidCheck,
    logPrefix: config.LogPrefix,
    ...(config.LogActionRateLimit && { logLimit: { ...config.LogActionRateLimit, burst: config.LogActionRateLimitBurst } }),
    antiSpoofLinkLayer: config.WorkloadLinkLayerCheck === 'Enabled',
  };
}
