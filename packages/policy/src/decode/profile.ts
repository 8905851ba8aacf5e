// Profile: labels that endpoints inherit, and rules that come after all tiers.
import { isFields, labelsMost, show, tooMany } from '@calico-openstack/datamodel';
import { fieldNames, readFields } from './fields.ts';
import { type Reading, readResource } from './reading.ts';
import { allowEverything, decodeRules, denyEverything, type RuleDefinition } from './rule.ts';

export type ProfileRules = { readonly ingress: readonly RuleDefinition[]; readonly egress: readonly RuleDefinition[] };
export type ProfileDefinition = ProfileRules & { readonly labels: ReadonlyMap<string, string> };

/** Every Felix knows it without its being in the datastore, and nobody can change it. */
export const defaultAllowProfile = 'projectcalico-default-allow';
export const allowingRules: ProfileRules = { ingress: [allowEverything], egress: [allowEverything] };
/** What stands in for a profile that does not exist or is not valid. */
export const denyingRules: ProfileRules = { ingress: [denyEverything], egress: [denyEverything] };

const profileFields = fieldNames('ingress', 'egress', 'labelsToApply');

/** A profile of which anything is not understood denies everything in its place; its labels are inherited all the same. */
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
