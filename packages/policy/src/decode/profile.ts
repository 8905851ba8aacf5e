// Decodes a Profile: labels that endpoints inherit, and rules that apply after all tiers.
import { isFields, labelsMost, show, tooMany } from '@calico-openstack/datamodel';
import { fieldNames, readFields } from './fields.ts';
import { type Reading, readResource } from './reading.ts';
import { allowEverything, decodeRules, denyEverything, type RuleDefinition } from './rule.ts';

/** A profile's rules by direction. */
export type ProfileRules = { readonly ingress: readonly RuleDefinition[]; readonly egress: readonly RuleDefinition[] };
/** A profile. `labels` are inherited by the endpoints that name it. */
export type ProfileDefinition = ProfileRules & { readonly labels: ReadonlyMap<string, string> };

/** The profile that allows everything. Every Felix knows it; it is not in the datastore, and nobody can change it. */
export const defaultAllowProfile = 'projectcalico-default-allow';
/** The rules of `defaultAllowProfile`. */
export const allowingRules: ProfileRules = { ingress: [allowEverything], egress: [allowEverything] };
/** The rules of a profile that does not exist or is not valid. */
export const denyingRules: ProfileRules = { ingress: [denyEverything], egress: [denyEverything] };

const profileFields = fieldNames('ingress', 'egress', 'labelsToApply');

/** A profile that is not fully understood denies everything in its place. Its labels are inherited all the same. */
export function decodeProfile(bytes: Uint8Array): Reading<ProfileDefinition> {
  return readResource(bytes, ({ spec }, complain) => {
    let valid = true;
    const complainOfRules = (reason: string): void => {
      valid = false;
      complain(`${reason}; the profile denies everything`);
    };
    const { fields } = readFields(spec, profileFields);
    const rules = {
      ingress: decodeRules(fields.ingress, 'spec.ingress', undefined, complainOfRules),
      egress: decodeRules(fields.egress, 'spec.egress', undefined, complainOfRules),
    };
    const labels = new Map<string, string>();
    const excess = isFields(fields.labelsToApply) && tooMany(Object.keys(fields.labelsToApply).length, labelsMost);
    if (excess) complainOfRules(`spec.labelsToApply ${excess}`);
    else if (isFields(fields.labelsToApply)) {
      for (const [name, value] of Object.entries(fields.labelsToApply)) {
        if (typeof value === 'string') labels.set(name, value);
        else complainOfRules(`spec.labelsToApply[${show(name)}] is ${show(value)}, not text`);
      }
    } else if (fields.labelsToApply !== undefined) complainOfRules(`spec.labelsToApply is ${show(fields.labelsToApply)}, not an object`);
    return { ...(valid ? rules : denyingRules), labels };
  });
}
