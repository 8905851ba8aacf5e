// Decodes a Tier: the order of its policies among those of other tiers, and what happens to a packet that none of them decides.
import { show } from '@calico-openstack/datamodel';
import { fieldNames, readFields, readNumber } from './fields.ts';
import { type Reading, readResource } from './reading.ts';

/** A tier. */
export type TierDefinition = {
  /** The lowest order is applied first. Infinity when the tier states none: after all others that exist. */
  readonly order: number;
  readonly endAction: 'deny' | 'pass';
};

const tierFields = fieldNames('order', 'defaultAction');

/** Any `defaultAction` but `Pass` denies. Absent when the order is not a number. */
export function decodeTier(bytes: Uint8Array): Reading<TierDefinition> {
  return readResource(bytes, ({ spec }, complain) => {
    const { fields } = readFields(spec, tierFields);
    const order = readNumber(fields.order);
    if (!order.ok) {
      complain(`spec.order ${order.reason}; the tier counts as absent`);
      return undefined;
    }
    const { defaultAction } = fields;
    if (defaultAction !== undefined && defaultAction !== 'Pass' && defaultAction !== 'Deny')
      complain(`spec.defaultAction is ${show(defaultAction)}; it denies`);
    return { order: order.value ?? Number.POSITIVE_INFINITY, endAction: defaultAction === 'Pass' ? 'pass' : 'deny' };
  });
}
