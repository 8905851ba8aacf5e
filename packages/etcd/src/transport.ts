// gRPC's client side over one HTTP/2 connection: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
// Why not @grpc/grpc-js: it cannot be closed while it connects to a host that does not answer (the process stays alive until the kernel gives up), it hides why a connection
// failed, it warns about addresses as TLS server names, and it is ten times as large.
import { type ClientHttp2Session, type ClientHttp2Stream, constants, connect as http2Connect, type IncomingHttpHeaders } from 'node:http2';
import { isIP, type Socket, connect as tcpConnect } from 'node:net';
import { type TLSSocket, connect as tlsConnect } from 'node:tls';
import { type Listening, listenForSilence } from './silence.ts';

/** Those of gRPC's status codes that etcd or this client uses. */
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

/** How a call failed: gRPC's status code and message. */
export class GrpcError extends Error {
  override readonly name = 'GrpcError';
  readonly status: number;

  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

/** The events of a call. */
export type CallEvents = {
  onMessage(message: Buffer): void;
  /** Called for each piece of the answer that arrives. */
  onBytes?(): void;
  /** Called once, unless the call was cancelled. No error means that the call succeeded. */
  onEnd(error: GrpcError | undefined): void;
};

/** A call under way. */
export interface Call {
  send(message: Buffer): void;
  /** Ends the requests; answers may still arrive. */
  end(): void;
  /** Cancels the call: no event is reported any more. */
  cancel(): void;
}

/** An established HTTP/2 connection to one server. */
export interface Transport {
  /** Whether the connection takes new calls. */
  readonly usable: boolean;
  /** The server's IP address, while the connection stands. */
  readonly remoteAddress: string | undefined;
  /** Starts a call. `path` is `/SERVICE/METHOD`, `metadata` its request headers. */
  call(path: string, metadata: Readonly<Record<string, string>>, events: CallEvents): Call;
  /** Closes the connection; the calls under way fail. */
  close(): void;
}

/** A server, and how to authenticate it and ourselves. Without `tls`: plain text. */
export type Target = { readonly host: string; readonly port: number; readonly tls?: Tls };

type Tls = {
  /** The authorities to trust, as PEM; intermediate ones too. */
  readonly ca: Buffer | string[];
  readonly allowPartialTrustChain: boolean;
  readonly cert?: Buffer;
  readonly key?: Buffer;
};

/** While a call is under way, the client checks at this interval whether the server is alive. The connection fails when nothing arrives within the time-out, so a dead server is noticed within 8.5 s. */
const life = { intervalMs: 6_000, timeoutMs: 2_500 };
/**
 * The sign of life is a call of gRPC's health service. A peer that has the service (etcd) and one that lacks it (etcd's grpc-proxy) both answer at once. Any received byte counts, also one of another answer.
 * HTTP/2's PING would not do: a gRPC server with default settings cuts off clients that ping a quiet connection more often than every five minutes, and etcd's proxy cannot be configured otherwise.
 */
const lifePath = '/grpc.health.v1.Health/Check';
const streamWindowBytes = 1024 * 1024;
const connectionWindowBytes = 4 * 1024 * 1024;

/** The code of an error when the server closes a connection before HTTP/2 begins. */
export const closedEarly = 'CLOSED_EARLY';

/** Connects, including TLS and HTTP/2. Rejects with the reason when that fails, takes longer than `ms`, or `signal` is aborted. */
export function openTransport({ host, port, tls }: Target, ms: number, signal: AbortSignal, { intervalMs, timeoutMs } = life): Promise<Transport> {
  return new Promise((resolve, reject) => {
    // A TLS server name may not be an address (RFC 6066, section 3). For an address none is sent, and the certificate is checked against the address.
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
    const timer = setTimeout(() => fail(new Error(`no connection within ${ms / 1000} s`)), ms);
    signal.addEventListener('abort', onAbort, { once: true });
    socket.setNoDelay(true);
    socket.on('error', fail);
    socket.on('close', () => fail(Object.assign(new Error('the server closed the connection at once'), { code: closedEarly })));
    socket.once(tls ? 'secureConnect' : 'connect', () => {
      if (tls && (socket as TLSSocket).alpnProtocol !== 'h2') return fail(new Error('the server does not speak HTTP/2'));
      const session = http2Connect(`${tls ? 'https' : 'http'}://${isIP(host) === 6 ? `[${host}]` : host}:${port}`, {
        createConnection: () => socket,
        settings: { enablePush: false, initialWindowSize: streamWindowBytes },
        maxSessionMemory: Number.MAX_SAFE_INTEGER,
      });
      session.on('error', fail);
      // The first SETTINGS frame shows that the server speaks HTTP/2 and has accepted our certificate.
      session.once('remoteSettings', () => {
        done();
        session.setLocalWindowSize(connectionWindowBytes);
        resolve(transportOver(session, socket, { intervalMs, timeoutMs }));
      });
    });
    if (signal.aborted) onAbort();
  });
}

function transportOver(session: ClientHttp2Session, socket: Socket, { intervalMs, timeoutMs }: typeof life): Transport {
  let usable = true;
  let why = 'the connection was closed';
  let calls = 0;
  let listening: Listening | undefined;
  /** Kept, since a session's socket is slow to ask. */
  let remoteAddress: string | undefined;

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
      session.ping(() => {}); // after a GOAWAY the server takes no new call
    else {
      asking = request(lifePath, {});
      asking.on('error', () => {}).resume();
      asking.end(framed(Buffer.alloc(0)));
    }
    listening = listenForSilence(timeoutMs, () => {
      asking?.close(constants.NGHTTP2_CANCEL);
      if (socket.bytesRead === before && !session.destroyed) fail(new Error('the connection has fallen silent'));
    });
  }
  const looks = setInterval(askForLife, intervalMs).unref();
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
  session.unref(); // an idle connection does not keep the process alive

  return {
    get usable() {
      return usable && !session.closed && !session.destroyed;
    },
    get remoteAddress() {
      if (session.destroyed) return undefined;
      remoteAddress ??= session.socket.remoteAddress;
      return remoteAddress;
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
  const split = createMessageSplitter((message) => {
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
  stream.on('end', () => stream.end()); // the server has ended the call, so our half ends too
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

/** gRPC's frame: a byte 0 for "not compressed", four bytes of length, the message. */
function framed(message: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(5 + message.length);
  frame.writeUInt8(0, 0);
  frame.writeUInt32BE(message.length, 1);
  message.copy(frame, 5);
  return frame;
}

/** Returns a function that takes the pieces of a byte stream and calls `onMessage` for each whole gRPC message. It returns false when a message is compressed. */
export function createMessageSplitter(onMessage: (message: Buffer) => void): (bytes: Buffer) => boolean {
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
    return text; // not percent-encoded as gRPC demands: shown as it came
  }
}
