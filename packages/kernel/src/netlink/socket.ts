// A netlink socket: four methods. How bytes reach the kernel, and nothing about what they mean.

/** A whole netlink message as it came: header fields and payload. */
export type NetlinkMessage = { readonly type: number; readonly flags: number; readonly sequence: number; readonly payload: Uint8Array };

/** The kernel's refusal of one message. `code` is the errno's name (`ENOENT`), `detail` the kernel's extended acknowledgement, if any. */
export type NetlinkRefusal = { readonly sequence: number; readonly code: string; readonly detail?: string };

export interface NetlinkSocket {
  /** Sends messages (each with header) in one datagram and collects every answer until each one that asked for an acknowledgement has it, dumps until their end. Synchronous: the kernel answers inside send. */
  exchange(messages: readonly Uint8Array[]): { readonly answers: readonly NetlinkMessage[]; readonly refusals: readonly NetlinkRefusal[] };
  nextSequence(): number;
  close(): void;
}
