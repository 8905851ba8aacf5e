// Names of chains. Each kind of chain has its own prefix, and the name holds what operators search for, such as a security group's id.
import { type PolicyId, type ProfileId, shortDigest } from '@calico-openstack/datamodel';

/** As seen from the endpoint: towards it, or away from it. */
export type Direction = 'ingress' | 'egress';

/** The name of both tables. Upstream's Felix uses `ip calico`, `ip6 calico` and `arp calico-arp`, so neither can be mistaken for the other. */
export const tableName = 'calico-felix';

/** At most 60 characters of `text`, in characters that nft prints without quotes, and a digest that keeps distinct texts distinct. */
const readable = (text: string): string => `${text.replaceAll(/[^A-Za-z0-9._-]/g, '_').slice(0, 60)}-${shortDigest(text, 10)}`;

const policyName = (id: string): string => id.slice(id.lastIndexOf('/') + 1);

/** The chain with a policy's rules. */
export const policyChain = (direction: Direction, id: PolicyId): string => `policy-${direction}-${readable(policyName(id))}-${shortDigest(id, 6)}`;
/** The chain with a profile's rules. */
export const profileChain = (direction: Direction, id: ProfileId): string => `profile-${direction}-${readable(id)}`;
/** The chain that jumps to a tier's policies. @param content what the chain depends on */
export const tierChain = (direction: Direction, content: string): string => `tier-${direction}-${shortDigest(content, 16)}`;
/** The chain that jumps to a class's tiers and profiles. @param content what the chain depends on */
export const classChain = (direction: Direction, content: string): string => `class-${direction}-${shortDigest(content, 16)}`;
/** The chain with the prefixes that workloads may send from. @param content the prefixes */
export const spoofChain = (content: string): string => `spoof-${shortDigest(content, 16)}`;
/** The chain with the prefixes that workloads may claim by neighbour advertisements. @param content the prefixes */
export const claimChain = (content: string): string => `spoof-claims-${shortDigest(content, 16)}`;
/** The chain with the prefixes in whose connections workloads take part. @param content the prefixes */
export const connectionChain = (content: string): string => `spoof-connections-${shortDigest(content, 16)}`;
/** The chain with the addresses that a MAC of an address pair may use. @param content the addresses */
export const pairMacChain = (content: string): string => `pair-mac-${shortDigest(content, 16)}`;
