// This host's host endpoints, each with its policies for every place where they are enforced. Which interface belongs to which host endpoint is decided by Felix, which knows the interfaces.
import type { EndpointPolicy, HostEndpointId, LocalHostEndpoint, ProfileId } from '@calico-openstack/datamodel';
import type { HostEndpointDefinition } from '../decode/host-endpoint.ts';
import type { MemberKind, TierLists } from './governance.ts';
import { type LocalEndpoint, LocalEndpoints } from './local-endpoints.ts';

/** The host endpoints of this host. */
export class LocalHostEndpoints extends LocalEndpoints<HostEndpointId, HostEndpointDefinition, LocalHostEndpoint> {
  protected override kindOf({ interfaceName }: HostEndpointDefinition): MemberKind {
    return interfaceName === '*' ? 'every-interface' : 'host-endpoint';
  }

  protected override settle(): void {}

  protected override output(id: HostEndpointId, { definition, subject }: LocalEndpoint<HostEndpointDefinition>): LocalHostEndpoint {
    const { interfaceName, expectedIps, profiles } = definition;
    const { normal, forward, untracked, preDnat } = subject.governed;
    return {
      id,
      ...(interfaceName !== undefined && { interfaceName }),
      expectedIps,
      policy: { ...normal, profiles: profiles as readonly ProfileId[] },
      forward: withoutProfiles(forward),
      untracked: withoutProfiles(untracked),
      preDnat: withoutProfiles(preDnat),
    };
  }
}

/** Profiles apply only to traffic to and from the host itself. */
const withoutProfiles = (lists: TierLists): EndpointPolicy => ({ ...lists, profiles: [] });
