// Collects the expressions of one rule, and tracks what the rule has checked so far: before a field is loaded, the checks are added without which it has no meaning.
import type { Expression } from './expressions.ts';
import { type FieldFacts, fieldFacts, protocolsWithPorts } from './fields.ts';
import type { Field, TableFamily } from './objects.ts';
import { firstRegister, nfProtocol, operation, registers } from './registers.ts';
import { hostOrder, networkOrder } from './types.ts';

const etherType = { 4: 0x0800, 6: 0x86dd, arp: 0x0806 } as const;
/** The only network protocol that a table of the family sees. */
const onlyNetwork: { readonly [Family in TableFamily]: 4 | 6 | 'arp' | undefined } = { ip: 4, ip6: 6, arp: 'arp', inet: undefined, netdev: undefined };

/** A rule that has no meaning. The message is the second half of a sentence. */
export class RuleProblem extends Error {}

/** Builds the expressions of one rule for a table of a family. */
export class RuleBuilder {
  readonly family: TableFamily;
  readonly expressions: Expression[] = [];
  /** The network protocol of all packets that get this far in the rule. */
  #network: 4 | 6 | 'arp' | undefined;
  #transport: number | undefined;
  #ether = false;
  /** Whether all packets that get this far have ports. */
  #ports = false;

  constructor(family: TableFamily) {
    this.family = family;
  }

  get hasPorts(): boolean {
    return this.#ports;
  }

  /** Loads the fields into consecutive registers, with their checks first. `positive` means that the rule goes on only where the fields match. */
  load(fields: readonly Field[], positive: boolean): void {
    if (fields.length === 0) throw new RuleProblem('looks at no field');
    const facts = fields.map(fieldFacts);
    // A protocol in the same concatenation decides what the ports belong to, if all of it is in the set.
    if (positive && fields.length > 1 && fields.some(tellsTransport)) this.#ports = true;
    for (const field of fields) this.#checkMeaning(field);
    for (const field of facts) this.#require(field);
    let register = firstRegister;
    for (const field of facts) {
      this.expressions.push(field.load(register));
      register += Math.ceil(field.widthBytes / 4);
    }
    if (register > firstRegister + registers) throw new RuleProblem('looks at more than 64 bytes at once');
  }

  /** Records that the rule goes on only where the field has this value. */
  learn(field: Field, value: Uint8Array): void {
    const number = value[0] ?? 0;
    if (field === 'meta nfproto') this.#network = number === nfProtocol[4] ? 4 : number === nfProtocol[6] ? 6 : undefined;
    if (field === 'meta l4proto') this.#transport = number;
    if (tellsTransport(field)) this.#ports = protocolsWithPorts.includes(number);
    if (field === 'meta iiftype' && sameBytes(value, hostOrder(1, 2))) this.#ether = true;
  }

  requireTransport(transport: number): void {
    if (this.#transport === transport) return;
    this.expressions.push({ name: 'meta', values: { dreg: firstRegister, key: 16 } }, compare(new Uint8Array([transport])));
    this.#transport = transport;
  }

  #require(field: FieldFacts): void {
    const { network, transport, ether } = field.needs;
    if (ether && !this.#ether) {
      this.expressions.push({ name: 'meta', values: { dreg: firstRegister, key: 8 } }, compare(hostOrder(1, 2)));
      this.#ether = true;
    }
    if (network !== undefined) this.#requireNetwork(network);
    if (transport !== undefined) this.requireTransport(transport);
  }

  /** A rule that requires two protocols gets both checks, and so matches nothing. */
  #requireNetwork(network: 4 | 6 | 'arp'): void {
    const only = onlyNetwork[this.family];
    if (only !== undefined && only !== network) throw new RuleProblem(`looks for ${networkName(network)} in a table of the ${this.family} family`);
    if (only !== undefined || this.#network === network) return;
    if (this.family === 'netdev') {
      this.expressions.push({ name: 'meta', values: { dreg: firstRegister, key: 1 } }, compare(networkOrder(etherType[network], 2)));
    } else {
      if (network === 'arp') throw new RuleProblem('looks for ARP, which no table of the inet family sees');
      this.expressions.push({ name: 'meta', values: { dreg: firstRegister, key: 15 } }, compare(new Uint8Array([nfProtocol[network]])));
    }
    this.#network = network;
  }

  #checkMeaning(field: Field): void {
    if (field === 'nd target' && this.#transport !== 58) throw new RuleProblem('looks for nd target without icmpv6 type before it');
    if ((field === 'th sport' || field === 'th dport') && !this.#ports) {
      throw new RuleProblem(`looks for ${field} without having asked for a protocol that has ports (meta l4proto): in others something else stands there`);
    }
  }
}

/** The rule goes on where the first register equals the data or, negated, where it does not. */
export function compare(data: Uint8Array, negate?: boolean): Expression {
  return { name: 'cmp', values: { sreg: firstRegister, op: negate ? operation.notEqual : operation.equal, data } };
}

const tellsTransport = (field: Field): boolean => field === 'meta l4proto' || field === 'ip protocol';
const networkName = (network: 4 | 6 | 'arp'): string => (network === 'arp' ? 'ARP' : `IPv${network}`);
const sameBytes = (one: Uint8Array, other: Uint8Array): boolean => Buffer.compare(one, other) === 0;
