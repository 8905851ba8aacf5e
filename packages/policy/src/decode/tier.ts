// Tier: where its policies stand, and what happens to a packet that none of them decides.
import { show } from '@calico-openstack/datamodel';
import { fieldNames, readFields, readNumber } from './fields.ts';
import { type Reading, readResource } from './reading.ts';

export type TierDefinition = {
  /** Infinity when absent: last of the tiers that exist. */
  readonly order: number;
  readonly endAction: 'deny' | 'pass';
};

const tierFields = fieldNames('order', 'defaultAction');

/** Only `Pass` passes; anything else at the tier's end is Deny. A tier of an order that is no number counts as absent. */
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
