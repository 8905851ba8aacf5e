// Names of chains and sets. Each kind of object has a beginning of its own; what operators look for (a security group's id) stands in the name.
import { type PolicyId, type ProfileId, shortDigest } from '@calico-openstack/datamodel';

export type Direction = 'ingress' | 'egress';

/** Both tables are called so. Upstream's are `ip calico`, `ip6 calico` and `arp calico-arp`: another name, so that neither is taken for the other. */
export const tableName = 'calico-felix';

/** At most 40 characters of `text` that nft can print bare, and a digest: distinct texts stay distinct. */
const readable = (text: string): string => `${text.replaceAll(/[^A-Za-z0-9._-]/g, '_').slice(0, 60)}-${shortDigest(text, 10)}`;

const policyName = (id: string): string => id.slice(id.lastIndexOf('/') + 1);

export const policyChain = (direction: Direction, id: PolicyId): string => `policy-${direction}-${readable(policyName(id))}-${shortDigest(id, 6)}`;
export const profileChain = (direction: Direction, id: ProfileId): string => `profile-${direction}-${readable(id)}`;
export const tierChain = (direction: Direction, content: string): string => `tier-${direction}-${shortDigest(content, 16)}`;
export const classChain = (direction: Direction, content: string): string => `class-${direction}-${shortDigest(content, 16)}`;
export const spoofChain = (content: string): string => `spoof-${shortDigest(content, 16)}`;
export const claimChain = (content: string): string => `spoof-claims-${shortDigest(content, 16)}`;
export const connectionChain = (content: string): string => `spoof-connections-${shortDigest(content, 16)}`;
export const pairMacChain = (content: string): string => `pair-mac-${shortDigest(content, 16)}`;
