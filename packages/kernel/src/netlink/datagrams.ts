// Buffers for several datagrams that one system call reads (recvmmsg). A thread of libuv's pool reads all of them in one call, because on a busy machine each call waits for a processor twice.
import koffi from 'koffi';
import { hostIsLittleEndian } from './attributes.ts';

/** Datagrams of a dump have at most 32 KB: 170 flows or 500 routes. */
const bytesEach = 64 * 1024;
const datagramsAtOnce = 16;
/** struct mmsghdr with struct msghdr in it, and struct iovec, on 64-bit machines. */
const [headerBytes, vectorAt, vectorsAt, lengthAt] = [64, 16, 24, 56] as const;
const vectorBytes = 16;

/** The buffers of one reader. Only the parts that datagrams have filled take memory. */
export class Datagrams {
  readonly bytes = new Uint8Array(datagramsAtOnce * bytesEach);
  /** The argument of recvmmsg. */
  readonly headers = new Uint8Array(datagramsAtOnce * (headerBytes + vectorBytes));
  readonly #view = new DataView(this.headers.buffer);

  constructor() {
    const [bytes, headers] = [koffi.address(this.bytes), koffi.address(this.headers)];
    const write = (at: number, value: bigint): void => this.#view.setBigUint64(at, value, hostIsLittleEndian);
    for (let index = 0; index < datagramsAtOnce; index += 1) {
      const vector = datagramsAtOnce * headerBytes + index * vectorBytes;
      write(index * headerBytes + vectorAt, headers + BigInt(vector));
      write(index * headerBytes + vectorsAt, 1n);
      write(vector, bytes + BigInt(index * bytesEach));
      write(vector + 8, BigInt(bytesEach));
    }
  }

  /** The number of datagrams that fit. */
  get most(): number {
    return datagramsAtOnce;
  }

  /** The nth one: where it begins in `bytes`, and its length, which exceeds the room when it was cut. */
  range(index: number): { readonly start: number; readonly length: number; readonly isCut: boolean } {
    const length = this.#view.getUint32(index * headerBytes + lengthAt, hostIsLittleEndian);
    return { start: index * bytesEach, length, isCut: length > bytesEach };
  }
}
