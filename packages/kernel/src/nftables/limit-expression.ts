// Converts limits of rules and of sets' elements to expressions, and back.
import type { Expression } from './expressions.ts';
import type { ElementLimit, Statement } from './objects.ts';
import { inverted } from './registers.ts';

type Limit = Extract<Statement, { readonly is: 'limit' }>;

const secondsOf = { second: 1n, minute: 60n, hour: 3600n, day: 86400n } as const;
const units = Object.keys(secondsOf) as readonly Limit['unit'][];
const defaultBurstPackets = 5;

/** The expression for a limit. A burst of 0 packets means nft's default of 5. */
export function limitExpression({ rate, unit, burst, over, of }: Omit<Limit, 'is'>): Expression {
  const size = of === 'bytes' || burst > 0 ? burst : defaultBurstPackets;
  const bytes = of === 'bytes' ? { type: 1 } : {};
  return { name: 'limit', values: { rate: BigInt(rate), unit: secondsOf[unit], burst: size, ...bytes, ...(over ? { flags: inverted } : {}) } };
}

/** The element limit that `limitExpression` wrote; undefined for an expression that is no limit of ours. */
export function readElementLimit({ name, values }: Expression): ElementLimit | undefined {
  const { rate, unit: seconds, burst, type, flags } = values;
  const unit = units.find((each) => secondsOf[each] === seconds);
  if (name !== 'limit' || typeof rate !== 'bigint' || typeof burst !== 'number' || unit === undefined || type !== undefined || flags !== inverted)
    return undefined;
  return { rate: Number(rate), unit, burst };
}
