// Thousands of connections differ in nothing that a rule asks for. What was decided for one holds for each that has the same values in all the fields that were asked.
import type { Field, Packet } from '@calico-openstack/kernel';
import { bytesKey } from './bytes-key.ts';

type Asked = Pick<Packet, 'get' | 'has'>;

/** Which field is asked next, given the values so far; or what was decided. */
type Node<T> = { readonly field: Field; readonly next: Map<ValueKey, Node<T>> } | { readonly decided: T };

/** @param decide asks the packet alone, by `get` and `has` */
export function rememberVerdicts<T>(decide: (packet: Asked) => T): (packet: Asked) => T {
  let root: Node<T> | undefined;

  function learn(packet: Asked): T {
    const asked = new Set<Field>();
    const watched: Asked = {
      get(field: Field) {
        asked.add(field);
        return packet.get(field);
      },
      has(field: Field) {
        asked.add(field);
        return packet.has(field);
      },
    };
    const decided = decide(watched);
    let grow = (node: Node<T>): void => {
      root = node;
    };
    let node = root;
    for (const field of asked) {
      if (node === undefined) {
        node = { field, next: new Map() };
        grow(node);
      }
      // The same values lead to the same questions: what is asked here is what was asked here before.
      const { next } = node as Extract<Node<T>, { field: Field }>;
      const value = valueKey(packet.get(field));
      grow = (child) => next.set(value, child);
      node = next.get(value);
    }
    grow({ decided });
    return decided;
  }

  return (packet) => {
    let node = root;
    while (node && 'field' in node) node = node.next.get(valueKey(packet.get(node.field)));
    return node ? node.decided : learn(packet);
  };
}

/** Values of one field are of one length, so short ones are told apart as numbers, which are made faster than text. */
type ValueKey = string | number;

function valueKey(value: Uint8Array | undefined): ValueKey {
  if (value === undefined) return 'none';
  if (value.length > 4) return bytesKey(value);
  let key = 0;
  for (let index = 0; index < value.length; index += 1) key = key * 256 + value[index]!;
  return key;
}
