// Remembers decisions about packets. Thousands of connections differ in no field that a rule reads. A decision holds for every packet with the same values in all fields that were read.
import type { Field, Packet } from '@calico-openstack/kernel';
import { bytesKey } from './bytes-key.ts';

type Asked = Pick<Packet, 'get' | 'has'>;

/** A node of the decision tree: the field that is read next, given the values so far, or the decision. */
type Node<T> = { readonly field: Field; readonly next: Map<ValueKey, Node<T>> } | { readonly decided: T };

/** Returns a function with the same results as `decide`. @param decide must depend on nothing but the packet, which it reads by `get` and `has` */
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
      // The same values lead to the same next field, so a node that exists here is about this field.
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

/** A field's value as a key. The values of one field have one length, so short ones can be numbers, which are made faster than text. */
type ValueKey = string | number;

function valueKey(value: Uint8Array | undefined): ValueKey {
  if (value === undefined) return 'none';
  if (value.length > 4) return bytesKey(value);
  let key = 0;
  for (let index = 0; index < value.length; index += 1) key = key * 256 + value[index]!;
  return key;
}
