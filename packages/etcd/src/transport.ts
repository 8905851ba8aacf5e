// gRPC's client side over one HTTP/2 connection: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
// By hand instead of with @grpc/grpc-js because that cannot be closed while it connects to a host that does not answer (the process stays alive until the kernel gives up),
// hides why a connection failed, and warns about addresses as TLS server names; and because this is a tenth of its size.
import { type ClientHttp2Session, type ClientHttp2Stream, constants, connect as http2Connect, type IncomingHttpHeaders } from 'node:http2';
import { isIP, type Socket, connect as tcpConnect } from 'node:net';
import { type TLSSocket, connect as tlsConnect } from 'node:tls';
import { type Listening, listenForSilence } from './silence.ts';

/** gRPC's status codes, those that etcd and we use. */
export const grpcStatus = {
  OK: 0,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

/** How a call ended, when not well. */
export class GrpcError extends Error {
  override readonly name = 'GrpcError';
  readonly status: number;

  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

export type CallEvents = {
  onMessage(message: Buffer): void;
  /** Each time that something of the answer has come. */
  onBytes?(): void;
  /** Once, unless the call was cancelled; undefined: all went well. */
  onEnd(error: GrpcError | undefined): void;
};

export interface Call {
  send(message: Buffer): void;
  /** No more will be sent. */
  end(): void;
  /** Gives it up: no event comes any more. */
  cancel(): void;
}

export interface Transport {
  /** Whether a new call may go this way. */
  readonly usable: boolean;
  /** The address at the other end, while there is a connection. */
  readonly remoteAddress: string | undefined;
  call(path: string, metadata: Readonly<Record<string, string>>, events: CallEvents): Call;
  /** Breaks it off, with all its calls. */
  close(): void;
}

export type Target = { readonly host: string; readonly port: number; readonly tls?: Tls };

type Tls = {
  /** PEM: who is trusted, intermediate authorities too. */
  readonly ca: Buffer | string[];
  readonly allowPartialTrustChain: boolean;
  readonly cert?: Buffer;
  readonly key?: Buffer;
};

/** How often, while a call is under way, a sign of life is asked for, and how long nothing may come then: a peer that is gone is noticed within 8.5 s. */
const life = { intervalMilliseconds: 6_000, timeoutMilliseconds: 2_500 };
/**
 * What is asked: gRPC's health service. Whether the peer has it (etcd) or not (its grpc-proxy), it answers at once, and any byte from it is a sign of life, an answer's that takes its time too.
 * Not HTTP/2's PING: a gRPC server that was told nothing else, as etcd's proxy cannot be, cuts those off who ping a quiet connection oftener than every five minutes.
 */
const lifePath = '/grpc.health.v1.Health/Check';
const streamWindowBytes = 1024 * 1024;
const connectionWindowBytes = 4 * 1024 * 1024;

/** Connects, TLS and HTTP/2 included. Rejects with the reason, also when that takes too long or the signal is aborted. */
export function openTransport(
  { host, port, tls }: Target,
  milliseconds: number,
  signal: AbortSignal,
  { intervalMilliseconds, timeoutMilliseconds } = life,
): Promise<Transport> {
  return new Promise((resolve, reject) => {
    // A server name may not be an address (RFC 6066, 3): then none is sent, and the certificate is checked for the address.
    const socket = tls
      ? tlsConnect({ ...tls, host, port, ALPNProtocols: ['h2'], ...(isIP(host) === 0 ? { servername: host } : {}) })
      : tcpConnect({ host, port });
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    };
    const fail = (error: Error): void => {
      done();
      socket.destroy();
      reject(error);
    };
    const onAbort = (): void => fail(new Error('closed'));
    const timer = setTimeout(() => fail(new Error(`no connection within ${milliseconds / 1000} s`)), milliseconds);
    signal.addEventListener('abort', onAbort, { once: true });
    socket.setNoDelay(true);
    socket.on('error', fail);
    socket.on('close', () => fail(new Error('the connection was closed before it stood')));
    socket.once(tls ? 'secureConnect' : 'connect', () => {
      if (tls && (socket as TLSSocket).alpnProtocol !== 'h2') return fail(new Error('the server does not speak HTTP/2'));
      const session = http2Connect(`${tls ? 'https' : 'http'}://${isIP(host) === 6 ? `[${host}]` : host}:${port}`, {
        createConnection: () => socket,
        settings: { enablePush: false, initialWindowSize: streamWindowBytes },
        maxSessionMemory: Number.MAX_SAFE_INTEGER,
      });
      session.on('error', fail);
      // Only now is it certain that the other end speaks HTTP/2, and takes our certificate.
      session.once('remoteSettings', () => {
        done();
        session.setLocalWindowSize(connectionWindowBytes);
        resolve(transportOver(session, socket, { intervalMilliseconds, timeoutMilliseconds }));
      });
    });
    if (signal.aborted) onAbort();
  });
}

function transportOver(session: ClientHttp2Session, socket: Socket, { intervalMilliseconds, timeoutMilliseconds }: typeof life): Transport {
  let usable = true;
  let why = 'the connection was closed';
  let calls = 0;
  let listening: Listening | undefined;

  function fail(error: Error): void {
    usable = false;
    why = error.message;
    session.destroy(error);
  }
  const request = (path: string, metadata: Readonly<Record<string, string>>): ClientHttp2Stream =>
    session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers', 'user-agent': 'calico-openstack', ...metadata });

  function askForLife(): void {
    if (calls === 0 || session.destroyed) return;
    const before = socket.bytesRead;
    let asking: ClientHttp2Stream | undefined;
    if (session.closed)
      session.ping(() => {}); // it wants to go away and takes no new call
    else {
      asking = request(lifePath, {});
      asking.on('error', () => {}).resume();
      asking.end(framed(Buffer.alloc(0)));
    }
    listening = listenForSilence(timeoutMilliseconds, () => {
      asking?.close(constants.NGHTTP2_CANCEL);
      if (socket.bytesRead === before && !session.destroyed) fail(new Error('the connection has fallen silent'));
    });
  }
  const looks = setInterval(askForLife, intervalMilliseconds).unref();
  session.on('error', (error) => {
    why = error.message;
  });
  session.on('goaway', (code, _last, reason) => {
    usable = false;
    if (code !== constants.NGHTTP2_NO_ERROR) why = `the server ended the connection (HTTP/2 error ${code}${reason ? `, ${reason.toString()}` : ''})`;
  });
  session.on('close', () => {
    clearInterval(looks);
    listening?.stop();
  });
  session.unref(); // while idle it keeps no process alive

  return {
    get usable() {
      return usable && !session.closed && !session.destroyed;
    },
    get remoteAddress() {
      return session.destroyed ? undefined : session.socket.remoteAddress;
    },
    close: () => fail(new Error('the connection was closed')),
    call(path, metadata, events) {
      let stream: ClientHttp2Stream;
      try {
        stream = request(path, metadata);
      } catch (error) {
        queueMicrotask(() => events.onEnd(new GrpcError(grpcStatus.UNAVAILABLE, why, { cause: error })));
        return { send() {}, end() {}, cancel() {} };
      }
      calls += 1;
      session.ref();
      stream.once('close', () => {
        calls -= 1;
        if (calls === 0 && !session.destroyed) session.unref();
      });
      return callOver(stream, events, () => (session.destroyed ? why : 'the call ended without a status'));
    },
  };
}

function callOver(stream: ClientHttp2Stream, { onMessage, onBytes, onEnd }: CallEvents, whyLost: () => string): Call {
  let over = false;
  let status: GrpcError | 'ok' | undefined;
  const finish = (error: GrpcError | undefined): void => {
    if (over) return;
    over = true;
    onEnd(error);
  };
  const noteStatus = (headers: IncomingHttpHeaders): void => {
    const code = headers['grpc-status'];
    if (code === undefined) return;
    status = Number(code) === grpcStatus.OK ? 'ok' : new GrpcError(Number(code), percentDecoded(String(headers['grpc-message'] ?? '')));
  };
  const split = messageSplitter((message) => {
    if (!over) onMessage(message);
  });
  stream.on('response', (headers) => {
    noteStatus(headers); // an error without any message has no trailers
    if (headers[':status'] !== 200) status ??= new GrpcError(grpcStatus.UNAVAILABLE, `HTTP status ${headers[':status']}`);
  });
  stream.on('data', (bytes: Buffer) => {
    if (over) return;
    onBytes?.();
    if (split(bytes)) return;
    finish(new GrpcError(grpcStatus.UNAVAILABLE, 'an answer came compressed, which was not asked for'));
    stream.close(constants.NGHTTP2_CANCEL);
  });
  stream.on('trailers', noteStatus);
  stream.on('end', () => stream.end()); // whatever we still had to say
  stream.on('error', (error) => {
    status ??= new GrpcError(grpcStatus.UNAVAILABLE, error.message, { cause: error });
  });
  stream.on('close', () => finish(status === 'ok' ? undefined : (status ?? new GrpcError(grpcStatus.UNAVAILABLE, whyLost()))));
  return {
    send: (message) => void stream.write(framed(message)),
    end: () => void stream.end(),
    cancel() {
      over = true;
      stream.close(constants.NGHTTP2_CANCEL);
    },
  };
}

/** One byte that says not compressed, four bytes of length, the message. */
function framed(message: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(5 + message.length);
  frame.writeUInt8(0, 0);
  frame.writeUInt32BE(message.length, 1);
  message.copy(frame, 5);
  return frame;
}

/** Puts messages together from the pieces in which they come. False when one is compressed. */
export function messageSplitter(onMessage: (message: Buffer) => void): (bytes: Buffer) => boolean {
  let pieces: Buffer[] = [];
  let held = 0;
  let needed = 5;
  return (bytes) => {
    pieces.push(bytes);
    held += bytes.length;
    while (held >= needed) {
      const all = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, held);
      if (all[0] !== 0) return false;
      needed = 5 + all.readUInt32BE(1);
      pieces = [all];
      if (held < needed) break;
      const message = all.subarray(5, needed);
      held -= needed;
      pieces = held > 0 ? [all.subarray(needed)] : [];
      needed = 5;
      onMessage(message);
    }
    return true;
  };
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // not encoded as it should be: better raw than not at all
  }
}
