// Encodes rules as bytes for the kernel, and brings what the kernel reports of a rule into the same bytes.
import { MessageWriter } from '../netlink/attributes.ts';
import { compileRule } from './compile.ts';
import { type Expression, readExpressions, writeExpressions } from './expressions.ts';
import type { NftRule, TableFamily } from './objects.ts';
import { commentText } from './text.ts';

/** Encodes NFTA_RULE_EXPRESSIONS and NFTA_RULE_USERDATA. Equal bytes mean equal rules. Throws RuleProblem for a rule that has no meaning in a table of this family. */
export function encodeRule(family: TableFamily, rule: NftRule): Uint8Array {
  return encodeExpressions(compileRule(family, rule.statements), rule.comment);
}

/** The same bytes from what the kernel reports of a rule; undefined when the rule holds something that `encodeRule` never writes. */
export function canonicalRule(expressions: Uint8Array, userData: Uint8Array | undefined): Uint8Array | undefined {
  const list = readExpressions(expressions);
  return list === undefined ? undefined : encodeExpressions(list, userData === undefined ? undefined : readComment(userData, ruleComment));
}

const ruleExpressions = 4;
const ruleUserData = 7;
/** nft's number for a comment in a rule's user data (libnftnl, udata.h). */
const ruleComment = 0;

/** The buffer that every rule is written into. */
const scratch = new MessageWriter(1024);

/** Encodes the attributes of a compiled rule. */
export function encodeExpressions(expressions: readonly Expression[], comment: string | undefined): Uint8Array {
  scratch.reset();
  scratch.nested(ruleExpressions, () => writeExpressions(scratch, expressions));
  if (comment !== undefined) scratch.binary(ruleUserData, commentData(ruleComment, comment));
  return Buffer.from(scratch.bytes()); // a copy
}

/** nft's own form of a comment: type, length, text and a NUL. */
export function commentData(type: number, comment: string): Uint8Array {
  const text = Buffer.from(`${commentText(comment)}\0`);
  return Buffer.concat([Buffer.from([type, text.length]), text]);
}

/** The comment of that type in user data, if there is one. */
export function readComment(userData: Uint8Array, wanted: number): string | undefined {
  for (let at = 0; at + 2 <= userData.length; ) {
    const [type, length] = [userData[at] ?? 0, userData[at + 1] ?? 0];
    if (type === wanted) return new TextDecoder().decode(userData.subarray(at + 2, at + 2 + length)).replace(/\0$/, '');
    at += 2 + length;
  }
  return undefined;
}
