// What follows from the values in force: for the connection to etcd, for the renderer.

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

/** The special rules for DHCP, DNS and metadata are there if anything says that this is OpenStack (peer/felix.md 8.4). */
export function openstackActive(config: FelixConfig, clusterType: string): boolean {
  const { MetadataAddr, MetadataPort, InterfacePrefix } = config;
  return (
    /openstack/i.test(clusterType) ||
    (MetadataAddr !== undefined && MetadataAddr !== '127.0.0.1') ||
    (MetadataPort !== 0 && MetadataPort !== 8775) ||
    InterfacePrefix.includes('tap')
  );
}

export function renderOptions(config: FelixConfig, clusterType: string): RenderOptions {
  const [acceptMark, passMark] = bitsOf(config.NftablesMarkMask);
  return {
    interfacePrefixes: config.InterfacePrefix,
    openstackActive: openstackActive(config, clusterType),
    ...(config.MetadataAddr && config.MetadataPort > 0 && { metadata: { address: config.MetadataAddr, port: config.MetadataPort } }),
    endpointToHostAction: config.DefaultEndpointToHostAction,
    denyAction: config.NftablesFilterDenyAction,
    acceptMark: acceptMark!,
    passMark: passMark!,
    ipv6: config.Ipv6Support,
    allowVxlanFromWorkloads: config.AllowVXLANPacketsFromWorkloads,
    allowIpipFromWorkloads: config.AllowIPIPPacketsFromWorkloads,
    vxlanPort: config.VXLANPort,
    dropInvalid: !config.DisableConntrackInvalidCheck,
    logPrefix: config.LogPrefix,
    antiSpoofLinkLayer: config.WorkloadLinkLayerCheck === 'Enabled',
  };
}
