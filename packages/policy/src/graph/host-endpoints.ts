// This host's host endpoints: each with its policies for every place where they are enforced. Which of them an interface follows is decided where interfaces are known.
import type { EndpointPolicy, HostEndpointId, LocalHostEndpoint, ProfileId } from '@calico-openstack/datamodel';
import type { HostEndpointDefinition } from '../decode/host-endpoint.ts';
import type { TierLists } from './governance.ts';
import { type LocalEndpoint, LocalEndpoints, type Surroundings } from './local-endpoints.ts';

export class LocalHostEndpoints extends LocalEndpoints<HostEndpointId, HostEndpointDefinition, LocalHostEndpoint> {
  constructor(surroundings: Surroundings) {
    super('host-endpoint', surroundings);
  }

  protected override settle(): void {}

  protected override output(
    id: HostEndpointId,
    { definition, subject }: LocalEndpoint<HostEndpointDefinition>,
    complain: (reason: string) => void,
  ): LocalHostEndpoint {
    const { interfaceName, expectedIps, profiles } = definition;
    const { normal, forward, untracked, preDnat } = subject.governed;
    const everyInterface = interfaceName === '*';
    if (everyInterface && untracked.ingress.length + untracked.egress.length > 0) complain('doNotTrack policies do not apply to interfaceName "*"');
    return {
      id,
      ...(interfaceName !== undefined && { interfaceName }),
      expectedIps,
      policy: { ...normal, profiles: profiles as readonly ProfileId[] },
      forward: withoutProfiles(forward),
      untracked: withoutProfiles(everyInterface ? { ingress: [], egress: [] } : untracked),
      preDnat: withoutProfiles(preDnat),
    };
  }
}

/** Profiles speak of traffic to and from the host itself. */
const withoutProfiles = (lists: TierLists): EndpointPolicy => ({ ...lists, profiles: [] });
