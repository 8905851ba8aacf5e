import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);

// bench/floor/felix.ts
import { hostname } from "node:os";

// packages/addresses/src/ip.ts
var decimalLength = /^(?:0|[1-9][0-9]{0,2})$/;
function ipv4Number(text2) {
  if (text2.length > 15) return void 0;
  let number2 = 0;
  let [octet, digits, dots] = [0, 0, 0];
  for (let index = 0; index <= text2.length; index += 1) {
    const code = text2.charCodeAt(index);
    if (code >= 48 && code <= 57) {
      if (digits > 0 && octet === 0) return void 0;
      octet = octet * 10 + code - 48;
      digits += 1;
    } else if (code === 46 || index === text2.length) {
      if (digits === 0 || octet > 255) return void 0;
      number2 = number2 * 256 + octet;
      if (index < text2.length) dots += 1;
      [octet, digits] = [0, 0];
    } else return void 0;
  }
  return dots === 3 ? number2 : void 0;
}
var colon = 58;
function hexDigit(code) {
  if (code >= 48 && code <= 57) return code - 48;
  const lower = code | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
function ipv6Groups(text2) {
  const groups2 = [];
  let gap = -1;
  let at = 0;
  if (text2.charCodeAt(0) === colon) {
    if (text2.charCodeAt(1) !== colon) return void 0;
    [gap, at] = [0, 2];
  }
  while (at < text2.length) {
    if (groups2.length === 8) return void 0;
    const start = at;
    let group = 0;
    for (let digit = hexDigit(text2.charCodeAt(at)); digit >= 0; digit = hexDigit(text2.charCodeAt(at))) {
      group = group * 16 + digit;
      at += 1;
      if (at - start > 4) return void 0;
    }
    if (at === start) return void 0;
    if (text2[at] === ".") {
      const number2 = ipv4Number(text2.slice(start));
      if (number2 === void 0 || groups2.length > 6) return void 0;
      groups2.push(number2 >>> 16, number2 & 65535);
      break;
    }
    groups2.push(group);
    if (at === text2.length) break;
    if (text2.charCodeAt(at) !== colon) return void 0;
    at += 1;
    if (text2.charCodeAt(at) === colon) {
      if (gap >= 0) return void 0;
      gap = groups2.length;
      at += 1;
    } else if (at === text2.length) return void 0;
  }
  if (gap < 0 ? groups2.length !== 8 : groups2.length > 7) return void 0;
  if (gap >= 0) groups2.splice(gap, 0, ...zeros.slice(0, 8 - groups2.length));
  return groups2;
}
var zeros = [0, 0, 0, 0, 0, 0, 0, 0];
function ipv6Text(groups2) {
  let [longest, length] = [-1, 1];
  for (let start = 0; start < 8; start += 1) {
    let end = start;
    while (end < 8 && groups2[end] === 0) end += 1;
    if (end - start > length) [longest, length] = [start, end - start];
    if (end > start) start = end;
  }
  let text2 = "";
  for (let index = 0; index < 8; index += 1) {
    if (index === longest) {
      text2 += "::";
      index += length - 1;
    } else text2 += `${text2 === "" || text2.endsWith(":") ? "" : ":"}${groups2[index].toString(16)}`;
  }
  return text2;
}
var familyOf = (text2) => text2.includes(":") ? 6 : 4;
function addressBytes(text2) {
  const number2 = ipv4Number(text2);
  if (number2 !== void 0) return Uint8Array.of(number2 >>> 24, number2 >>> 16, number2 >>> 8, number2);
  const groups2 = ipv6Groups(text2);
  if (!groups2) throw new RangeError(`${JSON.stringify(text2)} is not an IP address`);
  const bytes = new Uint8Array(16);
  for (let index = 0; index < 8; index += 1) {
    bytes[index * 2] = groups2[index] >> 8;
    bytes[index * 2 + 1] = groups2[index];
  }
  return bytes;
}
function addressFromBytes(bytes) {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
  if (bytes.length !== 16) throw new RangeError(`an IP address has 4 or 16 bytes, not ${bytes.length}`);
  const groups2 = zeros.slice();
  for (let index = 0; index < 8; index += 1) groups2[index] = bytes[index * 2] * 256 + bytes[index * 2 + 1];
  return ipv6Text(groups2);
}
function cidrFromBytes(bytes, length) {
  const masked = bytes.map((byte2, index) => byte2 & 65280 >> Math.min(8, Math.max(0, length - index * 8)));
  return `${addressFromBytes(masked)}/${length}`;
}
function splitCidr(text2) {
  const slash = text2.indexOf("/");
  const lengthText = text2.slice(slash + 1);
  if (slash > 0 && decimalLength.test(lengthText)) {
    const bytes = addressBytes(text2.slice(0, slash));
    const length = Number(lengthText);
    if (length <= bytes.length * 8 && cidrFromBytes(bytes, length) === text2) return { family: bytes.length === 4 ? 4 : 6, bytes, length };
  }
  throw new RangeError(`${JSON.stringify(text2)} is not a prefix in canonical text`);
}

// packages/addresses/src/mac.ts
var canonicalMac = /^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$/;
function macBytes(mac) {
  if (!canonicalMac.test(mac)) throw new RangeError(`${JSON.stringify(mac)} is not a MAC address in lower case with colons`);
  return Uint8Array.from(mac.split(":"), (octet) => Number.parseInt(octet, 16));
}
var macFromBytes = (bytes) => [...bytes].map((byte2) => byte2.toString(16).padStart(2, "0")).join(":");

// packages/agent/src/clock.ts
var systemClock = {
  steadyMs: () => performance.now(),
  nowMs: () => Date.now(),
  after(ms, action) {
    const timer = setTimeout(action, Math.max(0, ms));
    return () => clearTimeout(timer);
  },
  pause
};
function pause(ms, signal) {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, Math.max(0, ms));
    signal?.addEventListener("abort", done, { once: true });
  });
}

// packages/agent/src/backoff.ts
function backoffMs(backoff, failures, random = Math.random) {
  const full = Math.min(backoff.maxMs, backoff.firstMs * 2 ** Math.min(failures - 1, 30));
  return full / 2 + full / 2 * random();
}

// packages/agent/src/errors.ts
var CodedError = class extends Error {
  code;
  constructor(code, message2, options) {
    super(message2, options);
    this.name = new.target.name;
    this.code = code;
  }
};
var isSystemError = (error) => error instanceof Error && "syscall" in error && "code" in error;
function unreachable(value) {
  throw new TypeError(`there is no case for ${JSON.stringify(value)}`);
}
var fileReasons = {
  ENOENT: "it does not exist",
  EACCES: "this process has no right to it",
  EPERM: "this process has no right to it",
  EISDIR: "it is a directory",
  ENOTDIR: "a part of its path is no directory",
  EEXIST: "a part of its path is no directory",
  ENOSPC: "its file system is full",
  EROFS: "its file system can only be read",
  ELOOP: "its path has a circle of symbolic links",
  ENAMETOOLONG: "its name is too long"
};
function fileReason(error) {
  const known = isSystemError(error) ? fileReasons[error.code ?? ""] : void 0;
  if (known !== void 0) return `${known} (${error.code})`;
  return error instanceof Error ? error.message : String(error);
}

// packages/etcd/src/errors.ts
var EtcdError = class extends CodedError {
  constructor(code, message2, options) {
    super(code, message2, options);
  }
};
function isTransient(error) {
  return error instanceof EtcdError && (error.code === "ETCD_UNAVAILABLE" || error.code === "ETCD_TIMEOUT" || error.code === "ETCD_OVERLOADED");
}
var messageOf = (error) => error instanceof Error ? error.message : String(error);

// packages/etcd/src/transport.ts
import { constants, connect as http2Connect } from "node:http2";
import { isIP, connect as tcpConnect } from "node:net";
import { connect as tlsConnect } from "node:tls";

// packages/etcd/src/silence.ts
function listenForSilence(limitMs, onSilence) {
  let lastMs = performance.now();
  let stopped = false;
  let timer = setTimeout(look, limitMs).unref();
  function look() {
    setImmediate(() => {
      if (stopped) return;
      const leftMs = lastMs + limitMs - performance.now();
      if (leftMs > 0) timer = setTimeout(look, leftMs).unref();
      else onSilence();
    });
  }
  return {
    heard() {
      lastMs = performance.now();
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
    }
  };
}

// packages/etcd/src/transport.ts
var grpcStatus = {
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
  UNAUTHENTICATED: 16
};
var GrpcError = class extends Error {
  name = "GrpcError";
  status;
  constructor(status, message2, options) {
    super(message2, options);
    this.status = status;
  }
};
var life = { intervalMs: 6e3, timeoutMs: 2500 };
var lifePath = "/grpc.health.v1.Health/Check";
var streamWindowBytes = 1024 * 1024;
var connectionWindowBytes = 4 * 1024 * 1024;
function openTransport({ host: host2, port: port2, tls }, ms, signal, { intervalMs, timeoutMs } = life) {
  return new Promise((resolve, reject) => {
    const socket2 = tls ? tlsConnect({ ...tls, host: host2, port: port2, ALPNProtocols: ["h2"], ...isIP(host2) === 0 ? { servername: host2 } : {} }) : tcpConnect({ host: host2, port: port2 });
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
    };
    const fail = (error) => {
      done();
      socket2.destroy();
      reject(error);
    };
    const onAbort = () => fail(new Error("closed"));
    const timer = setTimeout(() => fail(new Error(`no connection within ${ms / 1e3} s`)), ms);
    signal.addEventListener("abort", onAbort, { once: true });
    socket2.setNoDelay(true);
    socket2.on("error", fail);
    socket2.on("close", () => fail(new Error("the connection was closed before it stood")));
    socket2.once(tls ? "secureConnect" : "connect", () => {
      if (tls && socket2.alpnProtocol !== "h2") return fail(new Error("the server does not speak HTTP/2"));
      const session = http2Connect(`${tls ? "https" : "http"}://${isIP(host2) === 6 ? `[${host2}]` : host2}:${port2}`, {
        createConnection: () => socket2,
        settings: { enablePush: false, initialWindowSize: streamWindowBytes },
        maxSessionMemory: Number.MAX_SAFE_INTEGER
      });
      session.on("error", fail);
      session.once("remoteSettings", () => {
        done();
        session.setLocalWindowSize(connectionWindowBytes);
        resolve(transportOver(session, socket2, { intervalMs, timeoutMs }));
      });
    });
    if (signal.aborted) onAbort();
  });
}
function transportOver(session, socket2, { intervalMs, timeoutMs }) {
  let usable = true;
  let why = "the connection was closed";
  let calls = 0;
  let listening;
  let remoteAddress;
  function fail(error) {
    usable = false;
    why = error.message;
    session.destroy(error);
  }
  const request = (path, metadata2) => session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers", "user-agent": "calico-openstack", ...metadata2 });
  function askForLife() {
    if (calls === 0 || session.destroyed) return;
    const before = socket2.bytesRead;
    let asking;
    if (session.closed)
      session.ping(() => {
      });
    else {
      asking = request(lifePath, {});
      asking.on("error", () => {
      }).resume();
      asking.end(framed(Buffer.alloc(0)));
    }
    listening = listenForSilence(timeoutMs, () => {
      asking?.close(constants.NGHTTP2_CANCEL);
      if (socket2.bytesRead === before && !session.destroyed) fail(new Error("the connection has fallen silent"));
    });
  }
  const looks = setInterval(askForLife, intervalMs).unref();
  session.on("error", (error) => {
    why = error.message;
  });
  session.on("goaway", (code, _last, reason) => {
    usable = false;
    if (code !== constants.NGHTTP2_NO_ERROR) why = `the server ended the connection (HTTP/2 error ${code}${reason ? `, ${reason.toString()}` : ""})`;
  });
  session.on("close", () => {
    clearInterval(looks);
    listening?.stop();
  });
  session.unref();
  return {
    get usable() {
      return usable && !session.closed && !session.destroyed;
    },
    get remoteAddress() {
      if (session.destroyed) return void 0;
      remoteAddress ??= session.socket.remoteAddress;
      return remoteAddress;
    },
    close: () => fail(new Error("the connection was closed")),
    call(path, metadata2, events) {
      let stream;
      try {
        stream = request(path, metadata2);
      } catch (error) {
        queueMicrotask(() => events.onEnd(new GrpcError(grpcStatus.UNAVAILABLE, why, { cause: error })));
        return { send() {
        }, end() {
        }, cancel() {
        } };
      }
      calls += 1;
      session.ref();
      stream.once("close", () => {
        calls -= 1;
        if (calls === 0 && !session.destroyed) session.unref();
      });
      return callOver(stream, events, () => session.destroyed ? why : "the call ended without a status");
    }
  };
}
function callOver(stream, { onMessage, onBytes, onEnd }, whyLost) {
  let over = false;
  let status;
  const finish = (error) => {
    if (over) return;
    over = true;
    onEnd(error);
  };
  const noteStatus = (headers) => {
    const code = headers["grpc-status"];
    if (code === void 0) return;
    status = Number(code) === grpcStatus.OK ? "ok" : new GrpcError(Number(code), percentDecoded(String(headers["grpc-message"] ?? "")));
  };
  const split = createMessageSplitter((message2) => {
    if (!over) onMessage(message2);
  });
  stream.on("response", (headers) => {
    noteStatus(headers);
    if (headers[":status"] !== 200) status ??= new GrpcError(grpcStatus.UNAVAILABLE, `HTTP status ${headers[":status"]}`);
  });
  stream.on("data", (bytes) => {
    if (over) return;
    onBytes?.();
    if (split(bytes)) return;
    finish(new GrpcError(grpcStatus.UNAVAILABLE, "an answer came compressed, which was not asked for"));
    stream.close(constants.NGHTTP2_CANCEL);
  });
  stream.on("trailers", noteStatus);
  stream.on("end", () => stream.end());
  stream.on("error", (error) => {
    status ??= new GrpcError(grpcStatus.UNAVAILABLE, error.message, { cause: error });
  });
  stream.on("close", () => finish(status === "ok" ? void 0 : status ?? new GrpcError(grpcStatus.UNAVAILABLE, whyLost())));
  return {
    send: (message2) => void stream.write(framed(message2)),
    end: () => void stream.end(),
    cancel() {
      over = true;
      stream.close(constants.NGHTTP2_CANCEL);
    }
  };
}
function framed(message2) {
  const frame = Buffer.allocUnsafe(5 + message2.length);
  frame.writeUInt8(0, 0);
  frame.writeUInt32BE(message2.length, 1);
  message2.copy(frame, 5);
  return frame;
}
function createMessageSplitter(onMessage) {
  let pieces = [];
  let held2 = 0;
  let needed = 5;
  return (bytes) => {
    pieces.push(bytes);
    held2 += bytes.length;
    while (held2 >= needed) {
      const all = pieces.length === 1 ? pieces[0] : Buffer.concat(pieces, held2);
      if (all[0] !== 0) return false;
      needed = 5 + all.readUInt32BE(1);
      pieces = [all];
      if (held2 < needed) break;
      const message2 = all.subarray(5, needed);
      held2 -= needed;
      pieces = held2 > 0 ? [all.subarray(needed)] : [];
      needed = 5;
      onMessage(message2);
    }
    return true;
  };
}
function percentDecoded(text2) {
  try {
    return decodeURIComponent(text2);
  } catch {
    return text2;
  }
}

// packages/etcd/src/status.ts
var noUser = "etcdserver: user name is empty";
var statusByText = {
  "etcdserver: mvcc: required revision has been compacted": grpcStatus.OUT_OF_RANGE,
  "etcdserver: mvcc: required revision is a future revision": grpcStatus.OUT_OF_RANGE,
  "etcdserver: mvcc: database space exceeded": grpcStatus.RESOURCE_EXHAUSTED,
  "etcdserver: too many requests": grpcStatus.RESOURCE_EXHAUSTED,
  "etcdserver: request is too large": grpcStatus.INVALID_ARGUMENT,
  "etcdserver: too many operations in txn request": grpcStatus.INVALID_ARGUMENT,
  "etcdserver: duplicate key given in txn request": grpcStatus.INVALID_ARGUMENT,
  "etcdserver: key is not provided": grpcStatus.INVALID_ARGUMENT,
  "etcdserver: requested lease not found": grpcStatus.NOT_FOUND,
  "etcdserver: lease already exists": grpcStatus.FAILED_PRECONDITION,
  "etcdserver: permission denied": grpcStatus.PERMISSION_DENIED,
  "etcdserver: invalid auth token": grpcStatus.UNAUTHENTICATED,
  "etcdserver: authentication is not enabled": grpcStatus.FAILED_PRECONDITION,
  "etcdserver: authentication failed, invalid user ID or password": grpcStatus.INVALID_ARGUMENT,
  "etcdserver: revision of auth store is old": grpcStatus.INVALID_ARGUMENT,
  [noUser]: grpcStatus.INVALID_ARGUMENT
};
function statusOf({ status, message: message2 }) {
  return status === grpcStatus.UNKNOWN ? statusByText[message2] ?? status : status;
}
function codeOf(error) {
  switch (statusOf(error)) {
    case grpcStatus.DEADLINE_EXCEEDED:
      return "ETCD_TIMEOUT";
    case grpcStatus.RESOURCE_EXHAUSTED:
      return "ETCD_OVERLOADED";
    case grpcStatus.OUT_OF_RANGE:
      return "ETCD_COMPACTED";
    case grpcStatus.PERMISSION_DENIED:
    case grpcStatus.UNAUTHENTICATED:
      return "ETCD_DENIED";
    case grpcStatus.NOT_FOUND:
      return "ETCD_LEASE_GONE";
    case grpcStatus.INVALID_ARGUMENT:
      return error.message === noUser ? "ETCD_DENIED" : "ETCD_REFUSED";
    // etcd has no other status for it
    case grpcStatus.FAILED_PRECONDITION:
    case grpcStatus.ALREADY_EXISTS:
    case grpcStatus.UNIMPLEMENTED:
    case grpcStatus.DATA_LOSS:
      return "ETCD_REFUSED";
    default:
      return "ETCD_UNAVAILABLE";
  }
}

// packages/etcd/src/attempts.ts
var Attempts = class {
  #options;
  #deadlineMs;
  #startedWithMs = 0;
  #failures = 0;
  #reason;
  #loginRenewed = false;
  constructor(options) {
    this.#options = options;
    this.#deadlineMs = options.clock.steadyMs() + options.timeoutMs;
  }
  /** The steady time at which the call fails. */
  get deadlineMs() {
    return this.#deadlineMs;
  }
  /** Extends the deadline: an answer may take any time as long as pieces of it arrive. */
  heard() {
    this.#deadlineMs = this.#options.clock.steadyMs() + this.#options.timeoutMs;
  }
  /** Begins an attempt. */
  begin() {
    this.#startedWithMs = this.#restMs;
  }
  /** How long this attempt may wait for its answer. A repeatable call leaves time for another endpoint when this one is silent. */
  get patienceMs() {
    const { repeatable, endpoints: endpoints2 } = this.#options;
    return repeatable && endpoints2 > 1 ? Math.max(this.#restMs / 2, Math.min(this.#restMs, 1e3)) : this.#restMs;
  }
  /**
   * Says what follows the failure of the attempt.
   * @param wasSent whether etcd may have got the request
   * @throws the error that the call rejects with, when there is no other attempt
   */
  next(error, wasSent) {
    const status = grpcStatusOf(error);
    if (wasSent && !this.#loginRenewed && (status === grpcStatus.UNAUTHENTICATED || status === grpcStatus.INVALID_ARGUMENT)) {
      this.#loginRenewed = true;
      return { renewLogin: true };
    }
    const { repeatable, endpoints: endpoints2, timeoutMs, random } = this.#options;
    if (!isTransient(error) || wasSent && !repeatable) throw error;
    this.#failures += 1;
    const cutShort = !wasSent && this.#restMs <= 1 || this.#startedWithMs < timeoutMs / 5;
    if (!cutShort || this.#reason === void 0) this.#reason = error;
    const pauseMs2 = this.#failures < endpoints2 ? 0 : backoffMs({ firstMs: 100, maxMs: 1e3 }, this.#failures - endpoints2 + 1, random);
    if (this.#restMs <= pauseMs2 + 1) throw this.#reason;
    return { renewLogin: false, pauseMs: pauseMs2 };
  }
  get #restMs() {
    return this.#deadlineMs - this.#options.clock.steadyMs();
  }
};
function grpcStatusOf(error) {
  return error instanceof EtcdError && error.cause instanceof GrpcError ? statusOf(error.cause) : void 0;
}

// packages/etcd/src/certificates.ts
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext, getCACertificates } from "node:tls";
function openCertificates(options) {
  let good;
  let told;
  return {
    current() {
      try {
        good = readCertificates(options);
        told = void 0;
      } catch (error) {
        if (!good || !(error instanceof EtcdError)) throw error;
        if (told !== error.message) options.onWarning?.(`${error.message}. Until then this process goes on with the certificates that it read before`);
        told = error.message;
      }
      return good;
    }
  };
}
function readCertificates({ caFile, certFile, keyFile }) {
  if (certFile === void 0 !== (keyFile === void 0)) {
    const [given, missing] = certFile === void 0 ? [`key ${keyFile}`, "certificate"] : [`certificate ${certFile}`, "key"];
    throw new EtcdError("ETCD_MISCONFIGURED", `the client's ${given} for etcd is given without a ${missing}; give the file of each, or neither`);
  }
  const tls = {
    // What every Go tool trusts: any certificate of the file, an intermediate authority's too; without a file, the system's.
    ca: caFile === void 0 ? systemAuthorities() : authoritiesIn(caFile),
    allowPartialTrustChain: true,
    ...certFile === void 0 ? {} : { cert: certificatesIn("client certificate for etcd", certFile) },
    ...keyFile === void 0 ? {} : { key: contentOf("client certificate's key for etcd", keyFile) }
  };
  try {
    createSecureContext(tls);
  } catch (error) {
    const files = [caFile, certFile, keyFile].filter(Boolean).join(", ");
    throw new EtcdError(
      "ETCD_MISCONFIGURED",
      `the certificates for etcd (${files}) cannot be used: ${messageOf(error)}; see that each file holds PEM, and that certificate and key belong together`,
      { cause: error }
    );
  }
  return tls;
}
var systemAuthorities = () => [.../* @__PURE__ */ new Set([...getCACertificates("system"), ...getCACertificates("extra")])];
function authoritiesIn(file) {
  const content = certificatesIn("authorities' file for etcd", file);
  const found = content.toString("latin1").match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (found.length === 0 || !found.every(isCertificate)) {
    const what = found.length === 0 ? "no certificate" : "a certificate that cannot be read";
    throw new EtcdError("ETCD_MISCONFIGURED", `the authorities' file for etcd holds ${what}: ${file}; it must hold, as PEM, who signed etcd's certificate`);
  }
  return content;
}
function certificatesIn(what, file) {
  const content = contentOf(what, file);
  const count = (mark2) => content.toString("latin1").match(mark2)?.length ?? 0;
  if (count(/-----BEGIN /g) !== count(/-----END [^-]+-----/g))
    throw new EtcdError("ETCD_MISCONFIGURED", `the ${what} ends in the middle of a certificate: ${file}; write it anew`);
  return content;
}
function isCertificate(pem) {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}
function contentOf(what, file) {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new EtcdError("ETCD_MISCONFIGURED", `cannot read the ${what}: ${file}: ${fileReason(error)}; correct its name or its rights`, { cause: error });
  }
}

// packages/etcd/src/endpoint.ts
function openEndpoint(text2, certificates) {
  const { url, host: host2, port: port2, secure } = parseEndpoint(text2);
  const closing2 = new AbortController();
  const target = () => secure ? { host: host2, port: port2, tls: certificates.current() } : { host: host2, port: port2 };
  target();
  let transport;
  let opening;
  async function open(ms) {
    try {
      transport = await openTransport(target(), ms, closing2.signal);
      return transport;
    } catch (error) {
      throw new EtcdError("ETCD_UNAVAILABLE", `${url}: ${messageOf(error)}${remedyOf(error)}`, { cause: error });
    } finally {
      opening = void 0;
    }
  }
  return {
    url,
    connect(ms) {
      if (transport?.usable) return Promise.resolve(transport);
      opening ??= open(ms);
      return opening;
    },
    get remoteAddress() {
      return transport?.usable ? transport.remoteAddress : void 0;
    },
    close() {
      closing2.abort();
      transport?.close();
    }
  };
}
var untrusted = "; name who signed etcd's certificate in the authorities' file for etcd, or add it to the system's";
var remedies = {
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrusted,
  UNABLE_TO_GET_ISSUER_CERT: untrusted,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrusted,
  DEPTH_ZERO_SELF_SIGNED_CERT: untrusted,
  SELF_SIGNED_CERT_IN_CHAIN: untrusted,
  CERT_HAS_EXPIRED: "; renew etcd's certificate, or correct this host's clock",
  CERT_NOT_YET_VALID: "; correct this host's clock",
  ERR_TLS_CERT_ALTNAME_INVALID: "; name etcd as its certificate does",
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: "; etcd asks for a client certificate: give its file, and that of its key"
};
var remedyOf = (error) => error instanceof Error && "code" in error ? remedies[String(error.code)] ?? "" : "";
function parseEndpoint(text2) {
  const wrong = (why) => new EtcdError("ETCD_MISCONFIGURED", `etcd endpoint ${JSON.stringify(withoutPassword(text2))}: ${why}; write http://HOST:PORT or https://HOST:PORT`);
  if (!URL.canParse(text2)) throw wrong("not a URL");
  const { protocol, hostname: hostname2, port: port2, username: username2, password: password2, pathname, search, hash } = new URL(text2);
  const secure = protocol === "https:";
  if (!secure && protocol !== "http:") throw wrong(`${protocol} is not known`);
  if (username2 !== "" || password2 !== "") throw wrong("user and password have options of their own, and are not taken from here");
  if (pathname !== "/" || search !== "" || hash !== "") throw wrong("nothing may follow the port");
  const ownPort = new RegExp(`:0*${secure ? 443 : 80}/?$`).test(text2) ? secure ? 443 : 80 : 2379;
  const number2 = port2 === "" ? ownPort : Number(port2);
  return { url: `${protocol}//${hostname2}:${number2}`, host: hostname2.replace(/^\[(.*)\]$/, "$1"), port: number2, secure };
}
var withoutPassword = (text2) => text2.replace(/^(\w+:\/\/)?.*@/s, "$1\u2026@");

// packages/etcd/src/endpoint-ring.ts
var connectMs = 3e3;
var EndpointRing = class {
  #endpoints;
  #nowMs;
  #current;
  #isClosed = false;
  /**
   * Opens the endpoints, and begins with a random one.
   * @param urls at least one
   * @param nowMs steady time
   * @throws ETCD_MISCONFIGURED for a URL that cannot be used
   */
  constructor(urls, certificates, nowMs, random) {
    this.#endpoints = urls.map((text2) => openEndpoint(text2, certificates));
    this.#nowMs = nowMs;
    this.#current = Math.floor(random() * urls.length);
  }
  /** The number of endpoints. */
  get size() {
    return this.#endpoints.length;
  }
  /** The endpoint in use. */
  get inUse() {
    return this.#endpoints[this.#current];
  }
  /** Moves on to the next endpoint, unless another call has already done so. */
  leave(endpoint) {
    if (endpoint === this.inUse) this.#current = (this.#current + 1) % this.#endpoints.length;
  }
  /**
   * Connects to the endpoint in use, or else to the others, each tried once.
   * @param what what the connection is for, in the words of an error message
   * @throws ETCD_CLOSED after close(), ETCD_UNAVAILABLE when no endpoint can be reached
   */
  async connected(what, deadlineMs) {
    const failures = [];
    while (failures.length < this.size) {
      if (this.#isClosed) throw closedError(what);
      const endpoint = this.inUse;
      try {
        return { endpoint, transport: await endpoint.connect(Math.max(1, Math.min(connectMs, deadlineMs - this.#nowMs()))) };
      } catch (error) {
        if (!(error instanceof EtcdError)) throw error;
        this.leave(endpoint);
        failures.push(error);
      }
    }
    if (this.#isClosed) throw closedError(what);
    throw new EtcdError("ETCD_UNAVAILABLE", `cannot ${what}: no etcd endpoint can be reached (${failures.map(messageOf).join("; ")})`, {
      cause: failures.at(-1)
    });
  }
  /** Closes all connections. */
  close() {
    this.#isClosed = true;
    for (const endpoint of this.#endpoints) endpoint.close();
  }
};
var closedError = (what) => new EtcdError("ETCD_CLOSED", `cannot ${what}: the connection to etcd was closed`);

// packages/etcd/src/exchange.ts
function exchange(transport, method, request, { token, patienceMs, onBytes }) {
  return new Promise((resolve, reject) => {
    let begun = false;
    const listening = listenForSilence(Math.max(1, patienceMs), () => {
      call.cancel();
      const how = begun ? "fell silent within its answer for" : "did not answer within";
      fail(new GrpcError(grpcStatus.DEADLINE_EXCEEDED, `${how} ${Math.round(patienceMs / 100) / 10} s`));
    });
    const fail = (error) => {
      listening.stop();
      reject(error);
    };
    const take2 = (answer2) => {
      listening.stop();
      resolve(answer2);
    };
    let answer;
    const call = transport.call(method.path, metadata(token), {
      onBytes() {
        begun = true;
        listening.heard();
        onBytes?.();
      },
      onMessage(message2) {
        try {
          answer = { is: method.decode(message2) };
        } catch (error) {
          return fail(unreadable(error));
        }
        if (!method.held) return;
        call.cancel();
        take2(answer.is);
      },
      onEnd(error) {
        if (error || !answer) fail(error ?? new GrpcError(grpcStatus.UNAVAILABLE, "no answer"));
        else take2(answer.is);
      }
    });
    call.send(request);
    if (!method.held) call.end();
  });
}
var metadata = (token) => ({ hasleader: "true", ...token === void 0 ? {} : { token } });
var unreadable = (error) => new GrpcError(grpcStatus.UNAVAILABLE, `its answer cannot be read: ${messageOf(error)}`, { cause: error });

// packages/etcd/src/login.ts
var LoginKeeper = class {
  #authenticate;
  #login;
  /** @param authenticate undefined when no user is configured */
  constructor(authenticate) {
    this.#authenticate = authenticate;
  }
  /** The login, which all calls that wait for it share; undefined when no user is configured. */
  current(deadlineMs) {
    if (!this.#authenticate || this.#login) return this.#login;
    const mine = {
      token: this.#authenticate(deadlineMs, (transport) => {
        mine.over = transport;
      })
    };
    mine.token.catch(() => this.forget(mine));
    this.#login = mine;
    return mine;
  }
  /** Makes the next call log in again, unless another call has already done so. */
  forget(stale) {
    if (this.#login === stale) this.#login = void 0;
  }
  /**
   * Forgets a token that came over an earlier connection than `transport`, because etcd may have been emptied or restored from a backup since. Such an etcd does not refuse the token:
   * it waits until its log has reached the index at which the token was made (etcd 3.4's simple tokens), which looks like silence.
   */
  forgetIfOlder(stale, transport) {
    if (stale?.over !== transport) this.forget(stale);
  }
};

// packages/etcd/src/keys.ts
import { isUtf8 } from "node:buffer";
var isReadable = (key) => key.isWellFormed();
function keyText(bytes, start, end) {
  const text2 = bytes.toString("utf8", start, end);
  if (!text2.includes(replacement) || isUtf8(bytes.subarray(start, end))) return text2;
  const parts = [];
  for (let at = start; at < end; ) {
    const length = lengthBy(bytes[at]);
    if (at + length <= end && isUtf8(bytes.subarray(at, at + length))) {
      parts.push(bytes.toString("utf8", at, at + length));
      at += length;
    } else {
      parts.push(String.fromCharCode(escapeBase + bytes[at]));
      at += 1;
    }
  }
  return parts.join("");
}
var replacement = "\uFFFD";
var escapeBase = 56320;
function lengthBy(first) {
  if (first < 192) return 1;
  return first < 224 ? 2 : first < 240 ? 3 : 4;
}
function keyBytes(key) {
  if (isReadable(key)) return Buffer.from(key);
  const bytes = Buffer.allocUnsafe(key.length * 3);
  let length = 0;
  for (const character of key)
    length = isEscape(character) ? bytes.writeUInt8(character.charCodeAt(0) - escapeBase, length) : length + bytes.write(character, length);
  return bytes.subarray(0, length);
}
var isEscape = (character) => character >= "\uDC80" && character <= "\uDCFF";
function shownKey(key) {
  const text2 = key.slice(0, shownMax).replaceAll(/[\udc80-\udcff]/gu, (byte2) => `\\x${(byte2.charCodeAt(0) - escapeBase).toString(16)}`);
  return key.length > shownMax ? `${text2}\u2026` : text2;
}
var shownMax = 200;
var compareKeys = (one, other) => Buffer.compare(keyBytes(one), keyBytes(other));

// packages/etcd/src/wire.ts
var WireReader = class {
  bytes;
  position;
  /** The two halves of the last 64-bit number that was read. */
  low = 0;
  high = 0;
  constructor(bytes) {
    this.bytes = bytes;
    this.position = 0;
  }
  /** Calls `onField` with the number of each field up to `end`. A field is skipped when the callback returns false. */
  fields(end, onField) {
    while (this.position < end) {
      const tag = this.int();
      if (!onField(tag >>> 3)) this.skip(tag & 7);
    }
    if (this.position !== end) throw new RangeError(`message ends at ${end}, its last field at ${this.position}`);
  }
  /** Reads the length of the length-delimited field that starts here, and returns where it ends. */
  end() {
    const length = this.int();
    const end = this.position + length;
    if (end > this.bytes.length) throw new RangeError(`field of ${length} bytes ends after its message`);
    return end;
  }
  text() {
    const end = this.end();
    const text2 = this.bytes.toString("utf8", this.position, end);
    this.position = end;
    return text2;
  }
  /** Reads a key of etcd's as text (keys.ts). */
  key() {
    const end = this.end();
    const key = keyText(this.bytes, this.position, end);
    this.position = end;
    return key;
  }
  /** Reads bytes as a copy: a caller that keeps one value does not keep the whole page in memory. */
  copy() {
    const end = this.end();
    const copy = Buffer.allocUnsafe(end - this.position);
    this.bytes.copy(copy, 0, this.position, end);
    this.position = end;
    return copy;
  }
  /** Reads an int64; exact within 53 bits. */
  int() {
    const first = this.byte();
    if (first < 128) return first;
    this.rest(first);
    if (this.high >= 2147483648) return -((~this.high >>> 0) * 2 ** 32 + (~this.low >>> 0) + 1);
    return this.high * 2 ** 32 + this.low;
  }
  /** Reads a uint64 as decimal text: ids use all 64 bits. */
  id() {
    const first = this.byte();
    if (first < 128) return String(first);
    this.rest(first);
    return this.high === 0 ? String(this.low) : String(BigInt(this.high) << 32n | BigInt(this.low));
  }
  skip(wireType) {
    if (wireType === 0) this.int();
    else if (wireType === 1) this.position += 8;
    else if (wireType === 2) this.position = this.end();
    else if (wireType === 5) this.position += 4;
    else throw new RangeError(`wire type ${wireType} at ${this.position}`);
  }
  byte() {
    const byte2 = this.bytes[this.position++];
    if (byte2 === void 0) throw new RangeError("message ends inside a field");
    return byte2;
  }
  /** Reads the bytes of a number behind its first one. */
  rest(first) {
    let low = first & 127;
    let high = 0;
    for (let shift = 7; ; shift += 7) {
      const byte2 = this.byte();
      if (shift < 28) low |= (byte2 & 127) << shift;
      else if (shift === 28) {
        low |= (byte2 & 15) << 28;
        high = (byte2 & 112) >> 4;
      } else if (shift < 70) high |= (byte2 & 127) << shift - 32;
      else throw new RangeError(`number longer than ten bytes at ${this.position}`);
      if (byte2 < 128) break;
    }
    this.low = low >>> 0;
    this.high = high >>> 0;
  }
};
var WireWriter = class {
  parts = [];
  length = 0;
  int(field, value) {
    return this.id(field, BigInt(value));
  }
  flag(field, value) {
    return value ? this.int(field, 1) : this;
  }
  id(field, value) {
    const bytes = [];
    varint(BigInt(field << 3), bytes);
    varint(BigInt.asUintN(64, value), bytes);
    return this.push(Uint8Array.from(bytes));
  }
  bytes(field, value) {
    const content = typeof value === "string" ? Buffer.from(value) : value;
    return this.header(field, content.length).push(content);
  }
  message(field, value) {
    this.header(field, value.length);
    for (const part of value.parts) this.push(part);
    return this;
  }
  finish() {
    return Buffer.concat(this.parts, this.length);
  }
  header(field, length) {
    const bytes = [];
    varint(BigInt(field << 3 | 2), bytes);
    varint(BigInt(length), bytes);
    return this.push(Uint8Array.from(bytes));
  }
  push(part) {
    this.parts.push(part);
    this.length += part.length;
    return this;
  }
};
function varint(value, into) {
  let rest = value;
  for (; rest > 0x7fn; rest >>= 7n) into.push(Number(rest & 0x7fn) | 128);
  into.push(Number(rest));
}

// packages/etcd/src/messages.ts
var accesses = ["read", "write", "readwrite"];
var methods = {
  range: { path: "/etcdserverpb.KV/Range", decode: rangeAnswer },
  transact: { path: "/etcdserverpb.KV/Txn", decode: transactionAnswer },
  compact: { path: "/etcdserverpb.KV/Compact", decode: ignored },
  grantLease: { path: "/etcdserverpb.Lease/LeaseGrant", decode: leaseAnswer },
  revokeLease: { path: "/etcdserverpb.Lease/LeaseRevoke", decode: ignored },
  keepLeaseAlive: { path: "/etcdserverpb.Lease/LeaseKeepAlive", decode: leaseAnswer, held: true },
  authenticate: { path: "/etcdserverpb.Auth/Authenticate", decode: tokenAnswer },
  listUsers: { path: "/etcdserverpb.Auth/UserList", decode: namesAnswer },
  rolesOfUser: { path: "/etcdserverpb.Auth/UserGet", decode: namesAnswer },
  addUser: { path: "/etcdserverpb.Auth/UserAdd", decode: ignored },
  setPassword: { path: "/etcdserverpb.Auth/UserChangePassword", decode: ignored },
  grantRole: { path: "/etcdserverpb.Auth/UserGrantRole", decode: ignored },
  listRoles: { path: "/etcdserverpb.Auth/RoleList", decode: namesAnswer },
  permissionsOfRole: { path: "/etcdserverpb.Auth/RoleGet", decode: permissionsAnswer },
  addRole: { path: "/etcdserverpb.Auth/RoleAdd", decode: ignored },
  grantPermission: { path: "/etcdserverpb.Auth/RoleGrantPermission", decode: ignored },
  revokePermission: { path: "/etcdserverpb.Auth/RoleRevokePermission", decode: ignored },
  status: { path: "/etcdserverpb.Maintenance/Status", decode: statusAnswer },
  members: { path: "/etcdserverpb.Cluster/MemberList", decode: membersAnswer },
  watch: { path: "/etcdserverpb.Watch/Watch", decode: watchAnswer },
  /** gRPC's health service, which etcd has and its grpc-proxy (3.4) lacks. */
  health: { path: "/grpc.health.v1.Health/Check", decode: ignored }
};
var emptyRequest = Buffer.alloc(0);
function rangeRequest(range, options = {}) {
  const request = new WireWriter().bytes(1, keyBytes(range.from));
  if (range.to !== "") request.bytes(2, keyBytes(range.to));
  if (options.limit) request.int(3, options.limit);
  if (options.revision) request.int(4, options.revision);
  return request.flag(8, options.keysOnly ?? false).finish();
}
function transactionRequest(when, then, otherwise) {
  const request = new WireWriter();
  for (const compare2 of when) request.message(1, comparison(compare2));
  for (const operation2 of then) request.message(2, requestOf(operation2));
  for (const operation2 of otherwise) request.message(3, requestOf(operation2));
  return request.finish();
}
var compactRequest = (revision) => new WireWriter().int(1, revision).finish();
var grantLeaseRequest = (ttlSeconds) => new WireWriter().int(1, ttlSeconds).finish();
var leaseRequest = (id) => new WireWriter().id(1, BigInt(id)).finish();
var authenticateRequest = (username2, password2) => new WireWriter().bytes(1, username2).bytes(2, password2).finish();
var watchRequest = (range, startRevision) => new WireWriter().message(1, new WireWriter().bytes(1, range.from).bytes(2, range.to).int(3, startRevision).flag(4, true)).finish();
function prefixRange(prefix2) {
  return prefix2 === "" ? { from: "\0", to: "\0" } : { from: prefix2, to: afterPrefix(prefix2) };
}
function afterPrefix(prefix2) {
  const points = Array.from(prefix2);
  const last = points.pop()?.codePointAt(0) ?? 1114111;
  if (last === 1114111) return points.length > 0 ? afterPrefix(points.join("")) : "\0";
  return points.join("") + String.fromCodePoint(last === 55295 ? 57344 : last + 1);
}
function comparison(compare2) {
  const message2 = new WireWriter();
  if ("modRevision" in compare2) return message2.int(2, 2).bytes(3, keyBytes(compare2.key)).int(6, compare2.modRevision);
  if ("exists" in compare2)
    return message2.int(1, compare2.exists ? 1 : 0).int(2, 0).bytes(3, keyBytes(compare2.key)).int(4, 0);
  return message2.int(2, 3).bytes(3, keyBytes(compare2.key)).bytes(7, compare2.value);
}
function requestOf(operation2) {
  const message2 = new WireWriter();
  if ("get" in operation2) return message2.message(1, new WireWriter().bytes(1, keyBytes(operation2.get)));
  if ("put" in operation2) {
    const put = new WireWriter().bytes(1, keyBytes(operation2.put)).bytes(2, operation2.value);
    if (operation2.lease !== void 0 && operation2.lease !== "0") put.id(3, BigInt(operation2.lease));
    return message2.message(2, put);
  }
  if ("delete" in operation2) return message2.message(3, new WireWriter().bytes(1, keyBytes(operation2.delete)));
  const { from, to } = prefixRange(operation2.deletePrefix);
  return message2.message(3, new WireWriter().bytes(1, from).bytes(2, to));
}
function headerOf(reader) {
  let [clusterId, revision, term] = ["0", 0, 0];
  reader.fields(reader.end(), (field) => {
    if (field === 1) clusterId = reader.id();
    else if (field === 3) revision = reader.int();
    else if (field === 4) term = reader.int();
    else return false;
    return true;
  });
  return { clusterId, revision, term };
}
var noHeader = { clusterId: "0", revision: 0, term: 0 };
var noBytes = Buffer.alloc(0);
function keyValueOf(reader) {
  let [key, createRevision, modRevision, version, lease] = ["", 0, 0, 0, "0"];
  let value = noBytes;
  reader.fields(reader.end(), (field) => {
    if (field === 1) key = reader.key();
    else if (field === 2) createRevision = reader.int();
    else if (field === 3) modRevision = reader.int();
    else if (field === 4) version = reader.int();
    else if (field === 5) value = reader.copy();
    else if (field === 6) lease = reader.id();
    else return false;
    return true;
  });
  return { key, value, createRevision, modRevision, version, lease };
}
function rangeAnswer(bytes) {
  const reader = new WireReader(bytes);
  return rangeOf(reader, bytes.length);
}
function rangeOf(reader, end) {
  let header4 = noHeader;
  let more = false;
  const found = [];
  reader.fields(end, (field) => {
    if (field === 1) header4 = headerOf(reader);
    else if (field === 2) found.push(keyValueOf(reader));
    else if (field === 3) more = reader.int() !== 0;
    else return false;
    return true;
  });
  return { header: header4, found, more };
}
function transactionAnswer(bytes) {
  const reader = new WireReader(bytes);
  let header4 = noHeader;
  let succeeded = false;
  const found = [];
  const onResponse = (field) => {
    if (field !== 1) return false;
    found.push(rangeOf(reader, reader.end()).found[0]);
    return true;
  };
  reader.fields(bytes.length, (field) => {
    if (field === 1) header4 = headerOf(reader);
    else if (field === 2) succeeded = reader.int() !== 0;
    else if (field === 3) reader.fields(reader.end(), onResponse);
    else return false;
    return true;
  });
  return { header: header4, succeeded, found };
}
function leaseAnswer(bytes) {
  const reader = new WireReader(bytes);
  let [id, ttlSeconds] = ["0", 0];
  reader.fields(bytes.length, (field) => {
    if (field === 2) id = reader.id();
    else if (field === 3) ttlSeconds = reader.int();
    else return false;
    return true;
  });
  return { id, ttlSeconds };
}
function tokenAnswer(bytes) {
  const reader = new WireReader(bytes);
  let token = "";
  reader.fields(bytes.length, (field) => {
    if (field !== 2) return false;
    token = reader.text();
    return true;
  });
  return token;
}
function namesAnswer(bytes) {
  const reader = new WireReader(bytes);
  const names2 = [];
  reader.fields(bytes.length, (field) => {
    if (field !== 2) return false;
    names2.push(reader.text());
    return true;
  });
  return names2;
}
function permissionsAnswer(bytes) {
  const reader = new WireReader(bytes);
  const permissions = [];
  reader.fields(bytes.length, (field) => {
    if (field !== 2) return false;
    let [kind, from, to] = [0, "", ""];
    reader.fields(reader.end(), (inner) => {
      if (inner === 1) kind = reader.int();
      else if (inner === 2) from = reader.key();
      else if (inner === 3) to = reader.key();
      else return false;
      return true;
    });
    const access = accesses[kind];
    if (access === void 0) throw new RangeError(`permission of kind ${kind}`);
    permissions.push({ access, from, to });
    return true;
  });
  return permissions;
}
function statusAnswer(bytes) {
  const reader = new WireReader(bytes);
  let header4 = noHeader;
  let version = "";
  reader.fields(bytes.length, (field) => {
    if (field === 1) header4 = headerOf(reader);
    else if (field === 2) version = reader.text();
    else return false;
    return true;
  });
  return { header: header4, version };
}
function membersAnswer(bytes) {
  const reader = new WireReader(bytes);
  const members = [];
  reader.fields(bytes.length, (field) => {
    if (field !== 2) return false;
    const member = { name: "", clientUrls: [] };
    reader.fields(reader.end(), (inner) => {
      if (inner === 2) member.name = reader.text();
      else if (inner === 4) member.clientUrls.push(reader.text());
      else return false;
      return true;
    });
    members.push(member);
    return true;
  });
  return members;
}
function watchAnswer(bytes) {
  const reader = new WireReader(bytes);
  let header4 = noHeader;
  let [watchId, compactRevision, cancelReason] = [0, 0, ""];
  let [created, canceled] = [false, false];
  const changes = [];
  reader.fields(bytes.length, (field) => {
    if (field === 1) header4 = headerOf(reader);
    else if (field === 2) watchId = reader.int();
    else if (field === 3) created = reader.int() !== 0;
    else if (field === 4) canceled = reader.int() !== 0;
    else if (field === 5) compactRevision = reader.int();
    else if (field === 6) cancelReason = reader.text();
    else if (field === 11) changes.push(changeOf(reader));
    else return false;
    return true;
  });
  return { header: header4, watchId, created, canceled, compactRevision, cancelReason, changes };
}
function changeOf(reader) {
  let deleted = false;
  let found;
  reader.fields(reader.end(), (field) => {
    if (field === 1) deleted = reader.int() === 1;
    else if (field === 2) found = keyValueOf(reader);
    else return false;
    return true;
  });
  if (!found) throw new RangeError("watch event without a key");
  return { key: found.key, value: deleted ? void 0 : found.value, modRevision: found.modRevision };
}
function ignored() {
}

// packages/etcd/src/connection.ts
var openConnection = (options, clock = systemClock, random = Math.random) => new ClusterConnection(options, clock, random);
var ClusterConnection = class {
  #endpoints;
  #logins;
  #clock;
  #random;
  #timeoutMs;
  #closing = new AbortController();
  constructor(options, clock, random) {
    if (options.endpoints.length === 0) throw new EtcdError("ETCD_MISCONFIGURED", "no etcd endpoint is given");
    this.#clock = clock;
    this.#random = random;
    this.#timeoutMs = options.timeoutMs ?? 1e4;
    this.#endpoints = new EndpointRing(options.endpoints, openCertificates(options), clock.steadyMs, random);
    const { username: username2, password: password2 = "" } = options;
    this.#logins = new LoginKeeper(username2 === void 0 ? void 0 : this.#authenticatorOf(username2, password2));
  }
  async call(method, request, { what, repeatable, onAnswering }) {
    const attempts = new Attempts({ timeoutMs: this.#timeoutMs, repeatable, endpoints: this.#endpoints.size, clock: this.#clock, random: this.#random });
    const onBytes = () => {
      attempts.heard();
      onAnswering?.();
    };
    for (; ; ) {
      attempts.begin();
      let login;
      let to;
      try {
        if (this.#isClosed) throw closedError(what);
        login = this.#logins.current(attempts.deadlineMs);
        const token = await login?.token;
        to = await this.#endpoints.connected(what, attempts.deadlineMs);
        return await this.#ask(to, method, request, what, { token, patienceMs: attempts.patienceMs, onBytes });
      } catch (error) {
        if (to && grpcStatusOf(error) === grpcStatus.DEADLINE_EXCEEDED) this.#logins.forgetIfOlder(login, to.transport);
        const next = attempts.next(error, to !== void 0);
        if (next.renewLogin) this.#logins.forget(login);
        else await this.#clock.pause(next.pauseMs, this.#closing.signal);
      }
    }
  }
  async stream(method, what, { onAnswer, onLost }) {
    const deadlineMs = this.#clock.steadyMs() + this.#timeoutMs;
    if (this.#isClosed) throw closedError(what);
    const login = this.#logins.current(deadlineMs);
    const token = await login?.token;
    const to = await this.#endpoints.connected(what, deadlineMs);
    const { endpoint, transport } = to;
    if (token !== void 0) await this.#refuseProxy(to, what, deadlineMs - this.#clock.steadyMs());
    const lose = (error) => onLost(this.#failure(endpoint, error, what));
    const opened = transport.call(method.path, metadata(token), {
      onMessage(message2) {
        let answer;
        try {
          answer = method.decode(message2);
        } catch (error) {
          opened.cancel();
          return lose(unreadable(error));
        }
        onAnswer(answer);
      },
      onEnd: (error) => lose(error ?? new GrpcError(grpcStatus.UNAVAILABLE, "the stream was ended"))
    });
    return {
      send: opened.send,
      refused: () => this.#logins.forget(login),
      abandon: () => {
        this.#endpoints.leave(endpoint);
        this.#logins.forgetIfOlder(login, transport);
        opened.cancel();
      },
      close: opened.cancel
    };
  }
  get endpoint() {
    return this.#endpoints.inUse.url;
  }
  get remoteAddress() {
    return this.#endpoints.inUse.remoteAddress;
  }
  close() {
    this.#closing.abort();
    this.#endpoints.close();
  }
  get #isClosed() {
    return this.#closing.signal.aborted;
  }
  #authenticatorOf(username2, password2) {
    const what = `authenticate as ${username2}`;
    return async (deadlineMs, onConnected) => {
      try {
        const to = await this.#endpoints.connected(what, deadlineMs);
        onConnected(to.transport);
        const patienceMs = deadlineMs - this.#clock.steadyMs();
        return await this.#ask(to, methods.authenticate, authenticateRequest(username2, password2), what, { token: void 0, patienceMs });
      } catch (error) {
        const status = grpcStatusOf(error);
        if (status === grpcStatus.FAILED_PRECONDITION) return void 0;
        if (status === grpcStatus.INVALID_ARGUMENT) throw new EtcdError("ETCD_DENIED", messageOf(error), { cause: error });
        throw error;
      }
    };
  }
  /**
   * Refuses a user's stream through etcd's grpc-proxy (3.4). The proxy opens all its watches over one stream to etcd, with the token of the user who came first. etcd refuses the watches of
   * other users, or the proxy never answers them. Once etcd refuses that token, after a restart, all of them are silent for ever, new ones included.
   */
  async #refuseProxy(to, what, patienceMs) {
    try {
      await this.#ask(to, methods.health, emptyRequest, what, { token: void 0, patienceMs });
    } catch (error) {
      if (grpcStatusOf(error) !== grpcStatus.UNIMPLEMENTED) throw error;
      const sentence2 = `cannot ${what}: ${to.endpoint.url} is etcd's grpc-proxy, behind which users' watches fall silent: name etcd itself as the endpoint`;
      throw new EtcdError("ETCD_REFUSED", sentence2, { cause: error });
    }
  }
  /** Sends one request to one endpoint. @throws EtcdError */
  async #ask({ endpoint, transport }, method, request, what, options) {
    try {
      return await exchange(transport, method, request, options);
    } catch (error) {
      throw error instanceof GrpcError ? this.#failure(endpoint, error, what) : error;
    }
  }
  /** The error of a call that an endpoint has failed. An endpoint that does not answer is left. */
  #failure(endpoint, error, what) {
    if (this.#isClosed) return closedError(what);
    const code = codeOf(error);
    if (code === "ETCD_UNAVAILABLE" || code === "ETCD_TIMEOUT") this.#endpoints.leave(endpoint);
    return new EtcdError(code, `cannot ${what}: ${endpoint.url}: ${error.message}`, { cause: error });
  }
};

// packages/etcd/src/deliveries.ts
var Deliveries = class {
  #ranges;
  #listener;
  #isClosed;
  /** The revision of each key that the listener knows. */
  #known = /* @__PURE__ */ new Map();
  /** For each range: the revision up to which it was delivered (`#delivered`), and a key that was changed at that revision, if there was one (`#anchors`). */
  #delivered;
  #anchors;
  /** The header of the history to which those revisions belong. */
  #history;
  #unreadable = /* @__PURE__ */ new Set();
  #toldUnreadable = 0;
  #inSync = false;
  /** @param isClosed whether the follower is closed; nothing is delivered any more then, not even within one call, since the listener may close its follower at any time */
  constructor(ranges, listener, isClosed) {
    this.#ranges = ranges;
    this.#listener = listener;
    this.#isClosed = isClosed;
    this.#delivered = ranges.map(() => 0);
    this.#anchors = ranges.map(() => void 0);
  }
  /** Every range was delivered up to this revision. */
  get revision() {
    return Math.min(...this.#delivered);
  }
  /** Some range was delivered up to this revision. */
  get newestRevision() {
    return Math.max(...this.#delivered);
  }
  revisionOf(range) {
    return this.#delivered[range];
  }
  /** Whether a header can belong to the known history, which reaches up to `revision`. */
  continues(header4, revision) {
    const history = this.#history;
    return !history || header4.clusterId === history.clusterId && header4.term >= history.term && header4.revision >= revision;
  }
  /** A member whose header continues the known history has answered. */
  noteHeader({ term }) {
    if (this.#history) this.#history = { ...this.#history, term: Math.max(this.#history.term, term) };
  }
  /** Whether the first changes of a new watch continue what was delivered. A watch starts at the last delivered revision, so the change of the anchor comes again, unless the history is another one. */
  holds(range, changes) {
    const anchor = this.#anchors[range];
    return anchor === void 0 || changes.some(({ key, modRevision }) => key === anchor && modRevision === this.#delivered[range]);
  }
  /** In another history an equal revision does not mean an equal value: every key counts as changed. */
  distrustRevisions() {
    for (const key of this.#known.keys()) this.#known.set(key, 0);
  }
  beginSnapshot() {
    return { next: this.#inSync || this.#known.size > 0 ? /* @__PURE__ */ new Map() : this.#known, changes: [], illegible: /* @__PURE__ */ new Set() };
  }
  /** A page of a snapshot was read. It is delivered at once before the listener is in sync, and afterwards with the whole snapshot. */
  addPage(snapshot, { header: header4, found }) {
    if (!snapshot.header && !this.continues(header4, this.newestRevision)) this.distrustRevisions();
    snapshot.header = header4;
    const fresh = [];
    for (const { key, value, modRevision } of found) {
      if (!isReadable(key)) snapshot.illegible.add(key);
      else if (this.#known.get(key) !== modRevision) fresh.push({ key, value, modRevision });
      if (isReadable(key)) snapshot.next.set(key, modRevision);
    }
    if (this.#inSync) snapshot.changes.push(...fresh);
    else {
      for (const { key, modRevision } of fresh) this.#known.set(key, modRevision);
      this.#deliver(fresh, header4.revision, false);
    }
  }
  /** All pages of a snapshot were read: delivers the differences, deletions included. */
  completeSnapshot({ next, changes, illegible, header: header4 }) {
    if (!header4) return;
    const { revision } = header4;
    changes.sort((one, other) => one.modRevision - other.modRevision);
    for (const key of this.#known.keys()) if (!next.has(key)) changes.push({ key, value: void 0, modRevision: revision });
    this.#known = next;
    this.#history = header4;
    this.#delivered.fill(revision);
    this.#anchors.fill(void 0);
    this.#unreadable = illegible;
    this.#deliver(changes, revision, false);
    this.#tellUnreadable();
    if (this.#inSync || this.#isClosed()) return;
    this.#inSync = true;
    this.#listener.onInSync?.(revision);
  }
  /** Delivers the changes of a watch that the listener does not know yet. */
  take(range, header4, changes) {
    if (this.#isClosed()) return;
    const since = this.#delivered[range];
    const revision = changes.at(-1)?.modRevision ?? header4.revision;
    if (revision <= since) return;
    this.#delivered[range] = revision;
    this.#anchors[range] = changes.at(-1)?.key;
    const fresh = [];
    for (const change of changes) {
      const { key, value, modRevision } = change;
      if (modRevision <= since || !this.#ranges[range].prefixes.some((prefix2) => key.startsWith(prefix2))) continue;
      if (!isReadable(key)) {
        if (value === void 0) this.#unreadable.delete(key);
        else this.#unreadable.add(key);
        continue;
      }
      const wasKnown = value === void 0 ? this.#known.delete(key) : this.#known.set(key, modRevision).has(key);
      if (wasKnown) fresh.push(change);
    }
    this.#deliver(fresh, revision, true);
    this.#tellUnreadable();
  }
  #deliver(changes, revision, isHistory) {
    if (changes.length > 0 && !this.#isClosed()) this.#listener.onChanges(changes, revision, isHistory);
  }
  #tellUnreadable() {
    if (this.#unreadable.size === this.#toldUnreadable || this.#isClosed()) return;
    this.#toldUnreadable = this.#unreadable.size;
    this.#listener.onUnreadable?.(this.#toldUnreadable, shownKey(this.#unreadable.values().next().value ?? ""));
  }
};

// packages/etcd/src/pages.ts
var mostBytes = 1e6;
var leastBytes = 64e3;
var firstBytes = 25e4;
var mostKeys = 1e4;
var slowMs = 2e3;
var quickMs = 500;
function adaptingPageSize() {
  let bytes = firstBytes;
  let keys = 250;
  return {
    get keys() {
      return keys;
    },
    onRead({ found, transferMs = 0 }) {
      if (found.length === 0) return;
      if (transferMs > slowMs) bytes = Math.max(leastBytes, bytes / 2);
      else if (transferMs < quickMs) bytes = Math.min(mostBytes, bytes * 2);
      const total = found.reduce((sum, { key, value }) => sum + key.length + value.length + 32, 1);
      keys = Math.max(1, Math.min(mostKeys, keys * 4, Math.floor(bytes / total * found.length)));
    },
    onFailed() {
      bytes = Math.max(leastBytes, bytes / 4);
      keys = Math.max(1, Math.floor(keys / 4));
    }
  };
}
var fixedPageSize = (keys) => ({ keys, onRead() {
}, onFailed() {
} });
function readSnapshot(readPage, prefixes, size, askedRevision) {
  let at = 0;
  let from;
  let first;
  let latest;
  let newest;
  let interrupted = false;
  const revision = () => askedRevision ?? first?.revision;
  const replaced = () => new EtcdError("ETCD_REPLACED", "etcd was replaced by another while it was read");
  async function read(prefix2, start, limit) {
    const page = await readPage(prefix2, { from: start, limit, revision: revision() });
    const { header: header4 } = page;
    if (latest && (header4.clusterId !== latest.clusterId || header4.term < latest.term || header4.revision < latest.revision)) throw replaced();
    latest = header4;
    return page;
  }
  async function confirm() {
    if (newest) {
      const { prefix: prefix2, key, modRevision } = newest;
      const { found } = await read(prefix2, key, 1);
      if (found[0]?.key !== key || found[0].modRevision !== modRevision) throw replaced();
    }
    interrupted = false;
  }
  async function next() {
    const prefix2 = prefixes[at];
    if (prefix2 === void 0) return void 0;
    try {
      if (interrupted) await confirm();
      const page = await read(prefix2, from, size.keys);
      const following = page.more ? nextPage(prefix2, from, page.found) : void 0;
      size.onRead(page);
      first ??= page.header;
      for (const { key, modRevision } of page.found) if (modRevision > (newest?.modRevision ?? 0)) newest = { prefix: prefix2, key, modRevision };
      from = following;
      if (!page.more) at += 1;
      return { header: first, found: page.found, more: page.more };
    } catch (error) {
      interrupted = true;
      size.onFailed();
      throw error;
    }
  }
  return { next };
}
function nextPage(prefix2, from, found) {
  const last = found.at(-1)?.key;
  if (last === void 0 || from !== void 0 && compareKeys(last, from) < 0)
    throw new EtcdError("ETCD_PROTOCOL", `cannot read ${prefix2}: etcd says that there is more, and its page leads no further than ${shownKey(from ?? prefix2)}`);
  return `${last}\0`;
}

// packages/etcd/src/ranges.ts
function watchedRanges(prefixes, apart = false) {
  const sorted = [...new Set(prefixes)].sort(compareKeys);
  const siblings = /* @__PURE__ */ new Map();
  for (const prefix2 of sorted) {
    if (sorted.some((other) => other !== prefix2 && prefix2.startsWith(other))) continue;
    const parent = apart ? prefix2 : prefix2.slice(0, prefix2.lastIndexOf("/", prefix2.length - 2) + 1);
    siblings.set(parent, [...siblings.get(parent) ?? [], prefix2]);
  }
  return [...siblings.values()].map((wanted) => ({ from: prefixRange(wanted[0]).from, to: prefixRange(wanted.at(-1)).to, prefixes: wanted }));
}

// packages/etcd/src/watching.ts
function watchUntilLost(options) {
  return new Promise((_, reject) => new Watching(options, reject));
}
var Watching = class {
  #options;
  #reject;
  #watch;
  /** How many ranges etcd has not confirmed yet. */
  #waitingFor;
  /** Ranges whose first changes were held against what was delivered. */
  #anchored = /* @__PURE__ */ new Set();
  #over = false;
  /** Events that arrived while the member's history was in doubt. */
  #held;
  constructor(options, reject) {
    const { source, ranges, deliveries, onOpen } = options;
    this.#options = options;
    this.#reject = reject;
    this.#waitingFor = ranges.length;
    this.#watch = source.watch(
      // Why the last delivered revision and not the next one: after a compaction of the next one, etcd accepts a watch from there, though a deletion at that revision may be gone.
      ranges.map((range, index) => ({ ...range, fromRevision: deliveries.revisionOf(index) })),
      {
        onCreated: (range, header4) => this.#noteCreated(range, header4),
        onChanges: (range, header4, changes) => this.#act(() => this.#take(range, header4, changes)),
        onLost: (error) => this.#lose(error)
      }
    );
    onOpen(this.#watch);
  }
  #lose(error) {
    this.#over = true;
    this.#watch.close();
    this.#reject(error);
  }
  #act(what) {
    if (this.#held) this.#held.push(what);
    else if (!this.#over && !this.#options.isClosed()) what();
  }
  #noteCreated(range, header4) {
    const { deliveries, onFollowing } = this.#options;
    if (deliveries.continues(header4, deliveries.revisionOf(range))) deliveries.noteHeader(header4);
    else if (!this.#held) this.#verify().catch((error) => this.#lose(error));
    this.#act(() => {
      this.#waitingFor -= 1;
      if (this.#waitingFor === 0) onFollowing();
    });
  }
  #take(range, header4, changes) {
    const { deliveries } = this.#options;
    if (!this.#anchored.has(range) && !deliveries.holds(range, changes))
      this.#lose(
        new EtcdError(
          "ETCD_REPLACED",
          `revision ${deliveries.revisionOf(range)} of etcd has other content than before: etcd was restored or replaced, and is read again`
        )
      );
    else deliveries.take(range, header4, changes);
    this.#anchored.add(range);
  }
  /** Called when the member's history looks shorter than the known one. The member may merely lag behind, so a majority is asked. */
  async #verify() {
    const { source, ranges, deliveries } = this.#options;
    const held2 = [];
    this.#held = held2;
    const header4 = await source.readHeader(ranges[0].prefixes[0]);
    const revision = deliveries.newestRevision;
    if (!deliveries.continues(header4, revision))
      throw new EtcdError(
        "ETCD_REPLACED",
        `etcd is at revision ${header4.revision} and was at ${revision} of another history before: it was restored or replaced, and is read again`
      );
    this.#held = void 0;
    for (const what of held2) this.#act(what);
  }
};

// packages/etcd/src/follow.ts
var steadyMs = 5e3;
var retryCapMs = 2e3;
var rereadCapMs = 15e3;
var refusedCapMs = 3e4;
function followPrefixes(source, prefixes, listener, { apart = false, pageSize = adaptingPageSize() } = {}) {
  if (prefixes.length === 0) throw new EtcdError("ETCD_REFUSED", "nothing to follow: no prefix is given");
  return new PrefixFollower(source, watchedRanges(prefixes, apart), listener, pageSize);
}
var PrefixFollower = class {
  #source;
  #ranges;
  #listener;
  #pageSize;
  #closing = new AbortController();
  #deliveries;
  #watching;
  /** The snapshot that is being read. After a failure it continues behind its last key: starting over would never finish on a slow or shared link. */
  #reading;
  /** How many attempts in a row failed without receiving anything. */
  #failures = 0;
  #followingSince = Number.POSITIVE_INFINITY;
  #state = "connecting";
  #trouble;
  constructor(source, ranges, listener, pageSize) {
    this.#source = source;
    this.#ranges = ranges;
    this.#listener = listener;
    this.#pageSize = pageSize;
    this.#deliveries = new Deliveries(ranges, listener, () => this.#isClosed);
    void this.#run();
  }
  get state() {
    return this.#state;
  }
  get revision() {
    return this.#deliveries.revision;
  }
  close() {
    this.#closing.abort();
    this.#watching?.close();
  }
  get #isClosed() {
    return this.#closing.signal.aborted;
  }
  async #run() {
    const { clock, random } = this.#source;
    let toRead = true;
    while (!this.#isClosed) {
      try {
        if (toRead) await this.#read();
        toRead = false;
        if (this.#isClosed) return;
        await this.#watch();
      } catch (error) {
        if (!(error instanceof EtcdError)) throw error;
        if (this.#isClosed || error.code === "ETCD_CLOSED") return;
        if (clock.steadyMs() - this.#followingSince > steadyMs) this.#failures = 0;
        this.#followingSince = Number.POSITIVE_INFINITY;
        this.#failures += 1;
        if (!isTransient(error)) this.#reading = void 0;
        if (error.code === "ETCD_REPLACED" && toRead) this.#deliveries.distrustRevisions();
        if (error.code === "ETCD_COMPACTED" || error.code === "ETCD_REPLACED") {
          toRead = true;
          if (this.#failures === 1) continue;
        }
        this.#enter("lost", error);
        await clock.pause(backoffMs({ firstMs: 100, maxMs: capOf(error, toRead) }, this.#failures, random), this.#closing.signal);
      }
    }
  }
  /** Starts or continues a snapshot, and delivers how it differs from what the listener knows. */
  async #read() {
    const wanted = this.#ranges.flatMap((range) => range.prefixes);
    this.#reading ??= { pages: readSnapshot(this.#source.readPage, wanted, this.#pageSize), soFar: this.#deliveries.beginSnapshot() };
    const { pages, soFar } = this.#reading;
    for (; ; ) {
      const page = await pages.next();
      if (this.#isClosed) return;
      if (!page) break;
      this.#failures = Math.min(this.#failures, 1);
      this.#enter("reading");
      this.#deliveries.addPage(soFar, page);
      if (this.#isClosed) return;
    }
    this.#reading = void 0;
    this.#deliveries.completeSnapshot(soFar);
  }
  #watch() {
    return watchUntilLost({
      source: this.#source,
      ranges: this.#ranges,
      deliveries: this.#deliveries,
      isClosed: () => this.#isClosed,
      onOpen: (watch) => {
        this.#watching = watch;
      },
      onFollowing: () => {
        this.#enter("following");
        this.#followingSince = this.#source.clock.steadyMs();
      }
    });
  }
  #enter(next, error) {
    if (this.#isClosed || next === this.#state && error?.code === this.#trouble) return;
    [this.#state, this.#trouble] = [next, error?.code];
    if (error) this.#listener.onState?.(next, `${error.code}: ${error.message}`);
    else this.#listener.onState?.(next);
  }
};
function capOf({ code }, reads) {
  if (code === "ETCD_DENIED" || code === "ETCD_REFUSED") return refusedCapMs;
  return reads ? rereadCapMs : retryCapMs;
}

// packages/etcd/src/watch.ts
var createMs = 1e4;
function openWatch(connection, ranges, events, check2) {
  const what = `watch ${ranges.flatMap(({ prefixes }) => prefixes).join(", ")}`;
  let waitingFor = ranges.length;
  let over = false;
  let stream;
  let timer;
  let checks;
  let history;
  function close2() {
    over = true;
    clearTimeout(timer);
    clearTimeout(checks);
    stream?.close();
  }
  function lose(error) {
    if (over) return;
    close2();
    events.onLost(error);
  }
  function onAnswer(answer) {
    const error = over ? void 0 : refusal(answer);
    if (error) lose(error);
    if (over || !ranges[answer.watchId]) return;
    if (answer.created) {
      waitingFor -= 1;
      if (waitingFor === 0) clearTimeout(timer);
      events.onCreated(answer.watchId, answer.header);
    } else events.onChanges(answer.watchId, answer.header, answer.changes);
  }
  function refusal({ created, canceled, compactRevision, cancelReason }) {
    if (compactRevision !== 0) return new EtcdError("ETCD_COMPACTED", `cannot ${what}: compacted up to revision ${compactRevision}`);
    if (!canceled) return void 0;
    if (created) stream?.refused();
    return new EtcdError(created ? "ETCD_DENIED" : "ETCD_UNAVAILABLE", `cannot ${what}: etcd canceled it (${cancelReason || "no reason given"})`);
  }
  async function compareHistory() {
    const header4 = await check2.readHeader(ranges[0].prefixes[0]);
    const { clusterId, term, revision } = history ?? { clusterId: header4.clusterId, term: 0, revision: ranges[0].fromRevision };
    if (header4.clusterId !== clusterId || header4.term < term || header4.revision < revision)
      lose(
        new EtcdError(
          "ETCD_REPLACED",
          `etcd is at revision ${header4.revision} and was at ${revision} of another history before: it was restored or replaced, and is read again`
        )
      );
    history = header4;
  }
  function checkLater() {
    checks = setTimeout(
      () => {
        const done = () => {
          if (!over) checkLater();
        };
        compareHistory().then(done, done);
      },
      check2.checkMs * (0.75 + Math.random() / 2)
    ).unref();
  }
  async function open() {
    stream = await connection.stream(methods.watch, what, { onAnswer, onLost: lose });
    if (over) return stream.close();
    for (const range of ranges) stream.send(watchRequest(range, range.fromRevision));
    checkLater();
    timer = setTimeout(() => {
      stream?.abandon();
      lose(new EtcdError("ETCD_TIMEOUT", `cannot ${what}: no answer within ${createMs / 1e3} s`));
    }, createMs);
  }
  open().catch((error) => {
    if (!(error instanceof EtcdError)) throw error;
    lose(error);
  });
  return { close: close2 };
}

// packages/etcd/src/client.ts
function connectEtcd(options, clock = systemClock, { checkMs = 3e4, pageSize = adaptingPageSize } = {}) {
  const connection = openConnection(options, clock);
  const call = (method, request, options2) => connection.call(method, request, options2);
  const readPage = ({ keysOnly = false } = {}) => async (prefix2, { from, limit, revision = 0 }) => {
    const range = prefixRange(prefix2);
    const request = rangeRequest({ ...range, ...from !== void 0 && { from } }, { limit, revision, keysOnly });
    let begunMs;
    const onAnswering = () => {
      begunMs ??= clock.steadyMs();
    };
    const page = await call(methods.range, request, { what: `read ${prefix2}`, repeatable: true, onAnswering });
    return { ...page, transferMs: clock.steadyMs() - (begunMs ?? clock.steadyMs()) };
  };
  async function readHeader(key) {
    return (await call(methods.range, rangeRequest({ from: key, to: "" }), { what: `read ${key}`, repeatable: true })).header;
  }
  const source = {
    clock,
    random: Math.random,
    readPage: readPage(),
    readHeader,
    watch: (ranges, events) => openWatch(connection, ranges, events, { readHeader, checkMs })
  };
  return {
    async get(key) {
      const { header: header4, found } = await call(methods.range, rangeRequest({ from: key, to: "" }), { what: `read ${key}`, repeatable: true });
      return { revision: header4.revision, found: found[0] };
    },
    async range(prefix2, { revision: asked, pageSize: keys, keysOnly = false } = {}) {
      const size = keys === void 0 ? adaptingPageSize() : fixedPageSize(keys);
      const snapshot = readSnapshot(readPage({ keysOnly }), [prefix2], size, asked);
      const all = [];
      let revision = asked ?? 0;
      for (let page = await snapshot.next(); page; page = await snapshot.next()) {
        revision = asked ?? page.header.revision;
        for (const keyValue of page.found) if (isReadable(keyValue.key)) all.push(keyValue);
      }
      return { revision, found: all };
    },
    async transact(when, then, otherwise = []) {
      const what = `carry out a transaction on ${keysOf(then).join(", ") || "no key"}`;
      const { header: header4, succeeded, found } = await call(methods.transact, transactionRequest(when, then, otherwise), { what, repeatable: false });
      return { revision: header4.revision, succeeded, found };
    },
    async grantLease(ttlSeconds) {
      const { id, ttlSeconds: granted } = await call(methods.grantLease, grantLeaseRequest(ttlSeconds), {
        what: `get a lease of ${ttlSeconds} s`,
        repeatable: true
      });
      return lease(id, granted);
    },
    follow: (prefixes, listener, options2) => followPrefixes(source, prefixes, listener, { ...options2, pageSize: pageSize() }),
    async compact(revision) {
      await call(methods.compact, compactRequest(revision), { what: `compact revision ${revision}`, repeatable: false });
    },
    async status() {
      const { header: header4, version } = await call(methods.status, emptyRequest, { what: "ask for its status", repeatable: true });
      return { revision: header4.revision, version, endpoint: connection.endpoint };
    },
    members: () => call(methods.members, emptyRequest, { what: "ask for its members", repeatable: true }),
    remoteAddress: () => connection.remoteAddress,
    close: () => connection.close()
  };
  function lease(id, ttlSeconds) {
    return {
      id,
      ttlSeconds,
      async keepAlive() {
        const options2 = { what: `keep lease ${id} alive`, repeatable: true };
        const { ttlSeconds: left } = await call(methods.keepLeaseAlive, leaseRequest(id), options2);
        return left > 0;
      },
      async revoke() {
        try {
          await call(methods.revokeLease, leaseRequest(id), { what: `revoke lease ${id}`, repeatable: true });
        } catch (error) {
          if (!(error instanceof EtcdError) || error.code !== "ETCD_LEASE_GONE") throw error;
        }
      }
    };
  }
}
function keysOf(operations) {
  const keys = operations.slice(0, 3).map((operation2) => {
    if ("put" in operation2) return operation2.put;
    if ("get" in operation2) return operation2.get;
    return "delete" in operation2 ? operation2.delete : operation2.deletePrefix;
  });
  return operations.length > 3 ? [...keys, `and ${operations.length - 3} more`] : keys;
}

// packages/kernel/src/netlink/dump.ts
import { setImmediate as setImmediate2 } from "node:timers/promises";

// packages/kernel/src/netlink/attributes.ts
var hostIsLittleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
var flag = {
  request: 1,
  multi: 2,
  acknowledge: 4,
  echo: 8,
  dumpInterrupted: 16,
  dump: 768,
  replace: 256,
  exclusive: 512,
  create: 1024,
  append: 2048,
  nonRecursive: 256
};
var headerLength = 16;
var attributeHeaderLength = 4;
var nestedFlag = 32768;
var typeMask = 16383;
var longestAttribute = 65535;
var aligned = (length) => length + 3 & ~3;
var MessageWriter = class {
  #buffer;
  #view;
  #length = 0;
  #messageStart = -1;
  constructor(initialBytes = 4096) {
    this.#buffer = new Uint8Array(initialBytes);
    this.#view = new DataView(this.#buffer.buffer);
  }
  /** The number of bytes written so far. */
  get length() {
    return this.#length;
  }
  /** The number of bytes of the message that is being written. */
  get messageLength() {
    return this.#length - this.#messageStart;
  }
  /** Starts a message. Call `end` before the next one. */
  begin(type4, flags, sequence) {
    const at = this.#take(headerLength);
    this.#messageStart = at;
    this.#view.setUint16(at + 4, type4, hostIsLittleEndian);
    this.#view.setUint16(at + 6, flags, hostIsLittleEndian);
    this.#view.setUint32(at + 8, sequence, hostIsLittleEndian);
  }
  /** Ends the message by writing its length into the header. */
  end() {
    this.#view.setUint32(this.#messageStart, this.#length - this.#messageStart, hostIsLittleEndian);
    this.#messageStart = -1;
  }
  /** Adds flags to the message that starts at this byte. */
  addFlags(at, flags) {
    this.#view.setUint16(at + 6, this.#view.getUint16(at + 6, hostIsLittleEndian) | flags, hostIsLittleEndian);
  }
  /** Writes bytes padded to a multiple of 4: the fixed part of a message behind its header. */
  raw(bytes) {
    const at = this.#take(bytes.length);
    this.#buffer.set(bytes, at);
  }
  u8(type4, value) {
    const at = this.#attribute(type4, 1);
    this.#buffer[at] = value;
  }
  u16(type4, value) {
    const at = this.#attribute(type4, 2);
    this.#view.setUint16(at, value, hostIsLittleEndian);
  }
  be16(type4, value) {
    const at = this.#attribute(type4, 2);
    this.#view.setUint16(at, value);
  }
  u32(type4, value) {
    const at = this.#attribute(type4, 4);
    this.#view.setUint32(at, value, hostIsLittleEndian);
  }
  be32(type4, value) {
    const at = this.#attribute(type4, 4);
    this.#view.setUint32(at, value);
  }
  u64(type4, value) {
    const at = this.#attribute(type4, 8);
    this.#view.setBigUint64(at, value, hostIsLittleEndian);
  }
  be64(type4, value) {
    const at = this.#attribute(type4, 8);
    this.#view.setBigUint64(at, value);
  }
  /** Writes an attribute with these bytes. */
  binary(type4, value) {
    const at = this.#attribute(type4, value.length);
    this.#buffer.set(value, at);
  }
  /** Writes an attribute with text and a NUL. Throws RangeError for text with a NUL, at which the kernel would cut it. */
  string(type4, value) {
    if (value.includes("\0")) throw new RangeError(`${JSON.stringify(value)} holds a NUL, at which the kernel would cut it`);
    const bytes = Buffer.from(value, "utf8");
    const at = this.#attribute(type4, bytes.length + 1);
    this.#buffer.set(bytes, at);
  }
  /** Writes an attribute without a value. */
  presence(type4) {
    this.#attribute(type4, 0);
  }
  /** Writes an attribute that contains the attributes that `write` writes. Throws RangeError when they exceed 64 KB. */
  nested(type4, write3) {
    const start = this.openNest(type4);
    write3();
    this.closeNest(start);
  }
  /** Opens a nested attribute; for lists that are written in a loop. `closeNest` takes what this returns. */
  openNest(type4) {
    return this.#attribute(type4 | nestedFlag, 0) - attributeHeaderLength;
  }
  closeNest(start) {
    const length = this.#length - start;
    if (length > longestAttribute) throw new RangeError(`a nested attribute of ${length} bytes does not fit: the limit is ${longestAttribute}`);
    this.#view.setUint16(start, length, hostIsLittleEndian);
  }
  /** All messages so far, as a view that further writing may change. */
  bytes() {
    return this.#buffer.subarray(0, this.#length);
  }
  /** Makes the next message overwrite the old ones, in the same buffer. */
  reset() {
    this.#length = 0;
    this.#messageStart = -1;
  }
  /** Writes an attribute's header and returns the offset of its value. */
  #attribute(type4, length) {
    if (length > longestAttribute - attributeHeaderLength) throw new RangeError(`an attribute of ${length} bytes does not fit: the limit is 65531`);
    const at = this.#take(attributeHeaderLength + length);
    this.#view.setUint16(at, attributeHeaderLength + length, hostIsLittleEndian);
    this.#view.setUint16(at + 2, type4, hostIsLittleEndian);
    return at + attributeHeaderLength;
  }
  /** Makes room for `length` bytes, padded to a multiple of 4 with zeros, and returns where they start. */
  #take(length) {
    const at = this.#length;
    const end = at + aligned(length);
    if (end > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(end, this.#buffer.length * 2));
      larger.set(this.#buffer.subarray(0, at));
      this.#buffer = larger;
      this.#view = new DataView(larger.buffer);
    } else {
      this.#buffer.fill(0, at, end);
    }
    this.#length = end;
    return at;
  }
};
function requestMessage(kind, flags, sequence, fixed, write3 = () => void 0) {
  const writer = new MessageWriter(256);
  writer.begin(kind, flag.request | flags, sequence);
  writer.raw(fixed);
  write3(writer);
  writer.end();
  return writer.bytes();
}
function eachAttribute(bytes, offset, visit) {
  for (let at = offset; at + attributeHeaderLength <= bytes.length; ) {
    const length = hostNumber16(bytes, at);
    if (length < attributeHeaderLength || at + length > bytes.length) return;
    visit(hostNumber16(bytes, at + 2) & typeMask, bytes.subarray(at + attributeHeaderLength, at + length));
    at += aligned(length);
  }
}
function readAttributes(bytes, offset = 0) {
  const attributes = /* @__PURE__ */ new Map();
  eachAttribute(bytes, offset, (type4, value) => attributes.set(type4, value));
  return attributes;
}
function findAttribute(bytes, offset, wanted) {
  for (let at = offset; at + attributeHeaderLength <= bytes.length; ) {
    const length = hostNumber16(bytes, at);
    if (length < attributeHeaderLength || at + length > bytes.length) return void 0;
    if ((hostNumber16(bytes, at + 2) & typeMask) === wanted) return bytes.subarray(at + attributeHeaderLength, at + length);
    at += aligned(length);
  }
  return void 0;
}
function hostNumber16(bytes, at) {
  const first = bytes[at];
  const second = bytes[at + 1];
  return hostIsLittleEndian ? first | second << 8 : first << 8 | second;
}
var viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
var readU16 = (bytes, offset = 0) => viewOf(bytes).getUint16(offset, hostIsLittleEndian);
var readU32 = (bytes, offset = 0) => viewOf(bytes).getUint32(offset, hostIsLittleEndian);
var readI32 = (bytes, offset = 0) => viewOf(bytes).getInt32(offset, hostIsLittleEndian);
var readBe32 = (bytes, offset = 0) => viewOf(bytes).getUint32(offset);
var readBe64 = (bytes, offset = 0) => viewOf(bytes).getBigUint64(offset);
function readString(bytes) {
  const end = bytes.indexOf(0);
  return Buffer.from(bytes.buffer, bytes.byteOffset, end === -1 ? bytes.length : end).toString("utf8");
}

// packages/kernel/src/netlink/datagrams.ts
import koffi from "koffi";
var bytesEach = 64 * 1024;
var datagramsAtOnce = 16;
var [headerBytes, vectorAt, vectorsAt, lengthAt] = [64, 16, 24, 56];
var vectorBytes = 16;
var Datagrams = class {
  bytes = new Uint8Array(datagramsAtOnce * bytesEach);
  /** The argument of recvmmsg. */
  headers = new Uint8Array(datagramsAtOnce * (headerBytes + vectorBytes));
  #view = new DataView(this.headers.buffer);
  constructor() {
    const [bytes, headers] = [koffi.address(this.bytes), koffi.address(this.headers)];
    const write3 = (at, value) => this.#view.setBigUint64(at, value, hostIsLittleEndian);
    for (let index = 0; index < datagramsAtOnce; index += 1) {
      const vector = datagramsAtOnce * headerBytes + index * vectorBytes;
      write3(index * headerBytes + vectorAt, headers + BigInt(vector));
      write3(index * headerBytes + vectorsAt, 1n);
      write3(vector, bytes + BigInt(index * bytesEach));
      write3(vector + 8, BigInt(bytesEach));
    }
  }
  /** How many fit. */
  get most() {
    return datagramsAtOnce;
  }
  /** The nth one: where it begins in `bytes`, and its length, which exceeds the room when it was cut. */
  range(index) {
    const length = this.#view.getUint32(index * headerBytes + lengthAt, hostIsLittleEndian);
    return { start: index * bytesEach, length, isCut: length > bytesEach };
  }
};

// packages/kernel/src/netlink/libc.ts
import { constants as constants2 } from "node:os";
import koffi2 from "koffi";
var libc = koffi2.load("libc.so.6");
var socket = libc.func("int socket(int, int, int)");
var bind = libc.func("int bind(int, const uint8_t *, uint32_t)");
var send = libc.func("long send(int, const uint8_t *, size_t, int)");
var recv = libc.func("long recv(int, uint8_t *, size_t, int)");
var recvmmsg = libc.func(
  "int recvmmsg(int, uint8_t *, unsigned int, int, void *)"
);
var inThread = (called, fd, bytes, flags) => new Promise((resolve, reject) => {
  const done = (error, result) => error ? reject(error) : resolve(result);
  called.async(fd, bytes, bytes.length, flags, done);
});
var sendInThread = (fd, bytes) => inThread(send, fd, bytes, 0);
var receiveFrom = libc.func(
  "long recvfrom(int, uint8_t *, size_t, int, uint8_t *, uint8_t *)"
);
var sendTo = libc.func(
  "long sendto(int, const uint8_t *, size_t, int, const uint8_t *, uint32_t)"
);
var close = libc.func("int close(int)");
var setns = libc.func("int setns(int, int)");
var pollDescriptors = libc.func("int poll(uint8_t *, unsigned long, int)");
var setsockopt = libc.func(
  "int setsockopt(int, int, int, const uint8_t *, uint32_t)"
);
var getsockopt = libc.func(
  "int getsockopt(int, int, int, uint8_t *, uint8_t *)"
);
function setSocketOption(fd, level, option, value) {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, hostIsLittleEndian);
  return setsockopt(fd, level, option, bytes, bytes.length);
}
var filterCode = { loadByte: 48, loadHalf: 40, loadWord: 32, jumpIfEqual: 21, giveBack: 6 };
function attachFilter(fd, instructions) {
  const programAt = 16;
  const both = new Uint8Array(programAt + instructions.length * 8);
  const view = new DataView(both.buffer);
  instructions.forEach(([code, ifTrue, ifFalse, operand], index) => {
    const at = programAt + index * 8;
    view.setUint16(at, code, hostIsLittleEndian);
    view.setUint8(at + 2, ifTrue);
    view.setUint8(at + 3, ifFalse);
    view.setUint32(at + 4, operand, hostIsLittleEndian);
  });
  view.setUint16(0, instructions.length, hostIsLittleEndian);
  view.setBigUint64(8, koffi2.address(both) + BigInt(programAt), hostIsLittleEndian);
  return setsockopt(fd, 1, 26, both, programAt);
}
var systemCall = libc.func(
  "long syscall(long, int, uint8_t *, uint32_t)"
);
var bpfNumber = { x64: 321, arm64: 280 }[process.arch];
function keepOnlyType(fd, type4) {
  const offsetOfType = 4;
  const stored = hostIsLittleEndian ? (type4 & 255) << 8 | type4 >> 8 : type4;
  return attachFilter(fd, [
    [filterCode.loadHalf, 0, 0, offsetOfType],
    [filterCode.jumpIfEqual, 0, 1, stored],
    [filterCode.giveBack, 0, 0, 4294967295],
    [filterCode.giveBack, 0, 0, 0]
  ]);
}
var dontWait = 64;
var truncate = 32;
function receive(fd, bytes) {
  const state = readableState(fd);
  if (typeof state !== "number") return state.result;
  return received(state, recv(fd, bytes, bytes.length, dontWait | truncate));
}
async function receiveInThread(fd, into) {
  const state = readableState(fd);
  if (typeof state !== "number") return state.result;
  const count = await new Promise((resolve, reject) => {
    const done = (error, result) => error ? reject(error) : resolve(result);
    recvmmsg.async(fd, into.headers, into.most, dontWait | truncate, null, done);
  });
  return received(state, count);
}
function readableState(fd) {
  const state = poll(fd, 0);
  if (state === 0) return { result: void 0 };
  if ((state & pollInvalid) !== 0) return { result: "EBADF" };
  return (state & pollError) !== 0 ? takeError(fd) : 0;
}
function received(error, length) {
  if (error !== 0) return errnoName(error);
  return length < 0 ? "ENOBUFS" : length;
}
function waitReadable(fd, timeoutMs) {
  const endMs = performance.now() + timeoutMs;
  for (let leftMs = timeoutMs; leftMs > 0; leftMs = endMs - performance.now()) if (poll(fd, Math.ceil(leftMs)) !== 0) return true;
  return false;
}
var [pollReadable, pollError, pollInvalid] = [1, 8, 32];
var descriptor = new Uint8Array(8);
var descriptorView = new DataView(descriptor.buffer);
function poll(fd, timeoutMs) {
  descriptorView.setInt32(0, fd, hostIsLittleEndian);
  descriptorView.setInt16(4, pollReadable, hostIsLittleEndian);
  return pollDescriptors(descriptor, 1, timeoutMs) > 0 ? descriptorView.getInt16(6, hostIsLittleEndian) : 0;
}
function takeError(fd) {
  const value = new Uint8Array(4);
  const length = new Uint8Array(new Uint32Array([value.length]).buffer);
  return getsockopt(fd, 1, 4, value, length) === 0 ? new DataView(value.buffer).getInt32(0, hostIsLittleEndian) : 0;
}
var errno = () => koffi2.errno();
var kernelsOwn = [
  [85, "ERESTART"],
  [524, "ENOTSUPP"]
];
var aliases = /* @__PURE__ */ new Set(["EWOULDBLOCK", "ENOTSUP", "EDEADLOCK"]);
var names = new Map([
  ...Object.entries(constants2.errno).flatMap(([name, number2]) => aliases.has(name) ? [] : [[number2, name]]),
  ...kernelsOwn
]);
var errnoName = (number2) => names.get(Math.abs(number2)) ?? `E${Math.abs(number2)}`;

// packages/kernel/src/netlink/socket.ts
var NetlinkError = class extends CodedError {
};
var netlinkProtocol = { route: 0, netfilter: 12 };
var familyNetlink = 16;
var socketRaw = 3;
var closeOnExec = 524288;
var levelSocket = 1;
var levelNetlink = 270;
var sendBufferForce = 32;
var receiveBufferForce = 33;
var addMembership = 1;
var capAcknowledge = 10;
var extendedAcknowledge = 11;
var strictChecking = 12;
var messageError = 2;
var messageDone = 3;
var cappedFlag = 256;
var tlvsFlag = 512;
var sendBufferBytes = 512 * 1024 * 1024;
var receiveBufferBytes = 32 * 1024 * 1024;
var receiveBytes = 256 * 1024;
var answerWaitMs = 1e4;
var dumpAttempts = 20;
function openNetlinkDescriptor(protocol, groups2 = [], onlyType) {
  const fd = socket(familyNetlink, socketRaw | closeOnExec, protocol);
  if (fd < 0) throw systemError(`cannot open a netlink socket of protocol ${protocol}`);
  const address = new Uint8Array(12);
  address[0] = familyNetlink;
  if (bind(fd, address, address.length) < 0) throw closing(fd, systemError(`cannot bind a netlink socket of protocol ${protocol}`));
  setSocketOption(fd, levelSocket, sendBufferForce, sendBufferBytes);
  setSocketOption(fd, levelSocket, receiveBufferForce, receiveBufferBytes);
  setSocketOption(fd, levelNetlink, capAcknowledge, 1);
  setSocketOption(fd, levelNetlink, extendedAcknowledge, 1);
  setSocketOption(fd, levelNetlink, strictChecking, 1);
  if (onlyType !== void 0 && keepOnlyType(fd, onlyType) < 0) throw closing(fd, systemError("cannot filter what a netlink socket receives"));
  for (const group of groups2) {
    if (setSocketOption(fd, levelNetlink, addMembership, group) < 0)
      throw closing(fd, systemError(`cannot join group ${group} of netlink protocol ${protocol}`));
  }
  return fd;
}
function openNetlinkSocket(protocol) {
  let fd = openNetlinkDescriptor(protocol);
  let sequence = 0;
  const buffer2 = new Uint8Array(receiveBytes);
  function read() {
    const messages = receiveMessages(fd, buffer2);
    if (messages === "overrun") {
      drain();
      throw new NetlinkError("ENOBUFS", "the kernel lost answers on a netlink socket: its receive buffer was full, so it is not known what was done");
    }
    return messages;
  }
  function drain() {
    while (receiveMessages(fd, buffer2) !== void 0) ;
  }
  function exchangeOnce(datagram, requests) {
    const pending = new Set(requests.awaited);
    const answers = [];
    const refusals = [];
    let interrupted = false;
    if (send(fd, datagram, datagram.length, 0) < 0) throw systemError(`cannot send ${datagram.length} bytes to the kernel`);
    for (; ; ) {
      const messages = read();
      if (messages === void 0) {
        if (pending.size === 0 || refusals.length > 0) return { answers, refusals, interrupted };
        if (!waitReadable(fd, answerWaitMs)) {
          throw new NetlinkError(
            "ETIMEDOUT",
            `the kernel did not answer ${pending.size} of ${requests.awaited.length} netlink requests within ${answerWaitMs} ms`
          );
        }
        continue;
      }
      for (const message2 of messages) {
        if (!requests.all.has(message2.sequence)) continue;
        if ((message2.flags & flag.dumpInterrupted) !== 0) interrupted = true;
        if (message2.type === messageError || message2.type === messageDone) {
          pending.delete(message2.sequence);
          const refusal = refusalOf(message2);
          if (refusal !== void 0) refusals.push(refusal);
        } else {
          answers.push(message2);
        }
      }
    }
  }
  return {
    exchange(messages) {
      if (fd < 0) throw new NetlinkError("EBADF", "this netlink socket is closed");
      const datagram = messages.length === 1 && messages[0] !== void 0 ? messages[0] : Buffer.concat(messages);
      const requests = readRequests(datagram);
      for (let attempt = 1; ; attempt++) {
        const { answers, refusals, interrupted } = exchangeOnce(datagram, requests);
        if (!interrupted) return { answers, refusals };
        if (attempt === dumpAttempts) throw new NetlinkError("EINTR", `what a netlink dump lists changed during each of ${dumpAttempts} attempts to read it`);
      }
    },
    nextSequence() {
      sequence = sequence === 4294967295 ? 1 : sequence + 1;
      return sequence;
    },
    close() {
      if (fd >= 0) close(fd);
      fd = -1;
    }
  };
}
function receiveMessages(fd, buffer2) {
  const length = receive(fd, buffer2);
  if (length === void 0) return void 0;
  if (length === "ENOBUFS") return "overrun";
  if (typeof length === "string") throw new NetlinkError(length, `cannot read from a netlink socket: ${length}`);
  if (length > buffer2.length)
    throw new NetlinkError("EMSGSIZE", `the kernel sent a netlink datagram of ${length} bytes, more than the ${buffer2.length} expected`);
  return splitMessages(buffer2.slice(0, length));
}
function splitMessages(datagram) {
  const messages = [];
  for (let at = 0; at + headerLength <= datagram.length; ) {
    const length = readU32(datagram, at);
    if (length < headerLength || at + length > datagram.length) break;
    messages.push({
      type: readU16(datagram, at + 4),
      flags: readU16(datagram, at + 6),
      sequence: readU32(datagram, at + 8),
      portId: readU32(datagram, at + 12),
      payload: datagram.subarray(at + headerLength, at + length)
    });
    at += length + 3 & ~3;
  }
  return messages;
}
function readRequests(datagram) {
  const all = /* @__PURE__ */ new Set();
  const awaited = [];
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  for (let at = 0; at + headerLength <= datagram.length; ) {
    const flags = view.getUint16(at + 6, hostIsLittleEndian);
    const sequence = view.getUint32(at + 8, hostIsLittleEndian);
    all.add(sequence);
    if ((flags & flag.acknowledge) !== 0 || (flags & flag.dump) === flag.dump) awaited.push(sequence);
    at += Math.max(headerLength, view.getUint32(at, hostIsLittleEndian) + 3 & ~3);
  }
  return { all, awaited };
}
function refusalOf({ type: type4, flags, sequence, payload: payload2 }) {
  if (payload2.length < 4) return void 0;
  const number2 = readI32(payload2);
  if (number2 === 0) return void 0;
  const extended = (flags & tlvsFlag) === 0 ? {} : extendedDetail(payload2, type4 === messageDone ? 4 : afterEchoedRequest(payload2, flags));
  return { sequence, code: errnoName(number2), ...extended };
}
var afterEchoedRequest = (payload2, flags) => 4 + ((flags & cappedFlag) !== 0 ? headerLength : readU32(payload2, 4) + 3 & ~3);
function extendedDetail(payload2, tlvs) {
  const attributes = readAttributes(payload2, tlvs);
  const text2 = attributes.get(
    1
    /* NLMSGERR_ATTR_MSG */
  );
  const offset = attributes.get(
    2
    /* NLMSGERR_ATTR_OFFS */
  );
  return { ...text2 === void 0 ? {} : { detail: readString(text2) }, ...offset === void 0 ? {} : { offset: readU32(offset) } };
}
function systemError(what) {
  const code = errnoName(errno());
  return new NetlinkError(code, `${what}: ${code}`);
}
function closing(fd, error) {
  close(fd);
  return error;
}

// packages/kernel/src/netlink/dump.ts
var [messageError2, messageDone2] = [2, 3];
var emptyReadsAtMost = 1e3;
var DumpRefused = class extends NetlinkError {
};
var DumpSocket = class {
  #fd;
  #datagrams;
  #open = true;
  /** The last dump. Dumps share a descriptor, so they run one after another. */
  #last = Promise.resolve();
  /** @param fd a netlink socket that nothing else uses, and that this object closes */
  constructor(fd) {
    this.#fd = fd;
  }
  /**
   * Requests a dump and calls `visit` for each answer. The event loop runs after every sixteen datagrams. Changes during the dump may be seen or not. An error that `visit` throws is thrown at
   * the end, because a dump that is not read to its end would disturb the next one. Rejects with DumpRefused when the kernel refuses, and with NetlinkError when it fails or the socket
   * is closed (EBADF).
   */
  read(request, visit) {
    const mine = this.#last.then(() => this.#read(request, visit));
    this.#last = mine.catch(() => void 0);
    return mine;
  }
  /** Ends a dump that runs. The descriptor is closed behind it: a thread may be using it, and its number must not become another file's meanwhile. */
  close() {
    if (!this.#open) return;
    this.#open = false;
    void this.#last.then(() => close(this.#fd));
  }
  async #read(request, visit) {
    this.#mustBeOpen();
    const answers = new Answers(readU32(request, 8), visit);
    this.#datagrams ??= new Datagrams();
    const datagrams = this.#datagrams;
    if (await sendInThread(this.#fd, request) < 0 && send(this.#fd, request, request.length, 0) < 0) throw failed("asked for", errnoName(errno()));
    for (let empty = 0; ; ) {
      this.#mustBeOpen();
      const count = await receiveInThread(this.#fd, datagrams);
      if (typeof count === "number") {
        for (let index = 0; index < count; index += 1) if (answers.visitAll(datagrams, index)) return;
      } else {
        if (count !== void 0 || ++empty > emptyReadsAtMost) throw failed("read", count ?? "ETIMEDOUT");
        await setImmediate2();
      }
    }
  }
  #mustBeOpen() {
    if (!this.#open) throw new NetlinkError("EBADF", "a netlink dump was ended: its socket was closed");
  }
};
var Answers = class {
  #sequence;
  #visit;
  #broken;
  constructor(sequence, visit) {
    this.#sequence = sequence;
    this.#visit = visit;
  }
  /** Visits the messages of the nth datagram; returns true at the end of the dump. */
  visitAll(datagrams, index) {
    const buffer2 = datagrams.bytes;
    const { start, length, isCut } = datagrams.range(index);
    for (let at = start; at + headerLength <= start + length; ) {
      const messageLength = readU32(buffer2, at);
      if (isCut || messageLength < headerLength || at + messageLength > start + length)
        throw new NetlinkError("EMSGSIZE", "a message of a netlink dump was truncated");
      if (readU32(buffer2, at + 8) === this.#sequence && this.#take(buffer2, at, messageLength)) return true;
      at += messageLength + 3 & ~3;
    }
    return false;
  }
  #take(buffer2, at, messageLength) {
    const type4 = readU16(buffer2, at + 4);
    if (type4 === messageError2 || type4 === messageDone2) {
      const error = messageLength >= headerLength + 4 ? readI32(buffer2, at + headerLength) : 0;
      if (error !== 0) throw new DumpRefused(errnoName(error), `the kernel refuses a netlink dump: ${errnoName(error)}`);
      if (this.#broken) throw this.#broken.error;
      return true;
    }
    try {
      if (!this.#broken) this.#visit(buffer2, at + headerLength, at + messageLength, type4);
    } catch (error) {
      this.#broken = { error };
    }
    return false;
  }
};
var failed = (what, code) => new NetlinkError(code, `a netlink dump cannot be ${what}: ${code}`);

// packages/kernel/src/netlink/family.ts
var addressFamily = { 4: 2, 6: 10 };
var familyOfNumber = (number2) => number2 === 2 ? 4 : number2 === 10 ? 6 : void 0;

// packages/kernel/src/conntrack/messages.ts
var nothing = new Uint8Array();

// packages/kernel/src/links/messages.ts
var type = { newLink: 16, deleteLink: 17, getLink: 18, newAddress: 20, deleteAddress: 21, getAddress: 22 };
var linkGroups = [1, 5, 9];
var attribute = { address: 1, name: 3, mtu: 4, master: 10, linkInfo: 18, extendedMask: 29 };
var infoKind = 1;
var deviceUp = 1;
var deviceRunning = 64;
var skipStatistics = 8;
var addressAttribute = { address: 1, local: 2, label: 3, flags: 8, protocol: 11 };
var addressFlag = { noDad: 2, dadFailed: 8, tentative: 64, noPrefixRoute: 512 };
function readLinkMessage(message2) {
  switch (message2.type) {
    case type.newLink: {
      const link = readLink(message2.payload);
      return link && { event: "link", link };
    }
    case type.deleteLink:
      return message2.payload[0] === 0 ? { event: "gone", index: readU32(message2.payload, 4) } : void 0;
    case type.newAddress:
    case type.deleteAddress: {
      const read = readAddress(message2.payload);
      return read && { event: message2.type === type.newAddress ? "address" : "address-gone", ...read };
    }
    default:
      return void 0;
  }
}
function readLink(payload2) {
  if (payload2[0] !== 0) return void 0;
  const attributes = readAttributes(payload2, 16);
  const [name, mtu] = [attributes.get(attribute.name), attributes.get(attribute.mtu)];
  if (!name || !mtu) return void 0;
  const [mac, master, linkInfo] = [attributes.get(attribute.address), attributes.get(attribute.master), attributes.get(attribute.linkInfo)];
  const kind = linkInfo && readAttributes(linkInfo).get(infoKind);
  const flags = readU32(payload2, 8);
  return {
    name: readString(name),
    index: readU32(payload2, 4),
    up: (flags & deviceUp) !== 0,
    running: (flags & deviceRunning) !== 0,
    mac: mac?.length === 6 ? macFromBytes(mac) : void 0,
    mtuBytes: readU32(mtu),
    kind: kind && readString(kind),
    masterIndex: master && readU32(master)
  };
}
function readAddress(payload2) {
  const family = familyOfNumber(payload2[0]);
  const attributes = readAttributes(payload2, 8);
  const bytes = attributes.get(addressAttribute.local) ?? attributes.get(addressAttribute.address);
  if (!family || !bytes) return void 0;
  const all = attributes.get(addressAttribute.flags);
  const flags = all ? readU32(all) : payload2[2];
  const [protocol] = attributes.get(addressAttribute.protocol) ?? [];
  const address = {
    family,
    address: addressFromBytes(bytes),
    prefixLength: payload2[1],
    scope: payload2[3],
    tentative: (flags & (addressFlag.tentative | addressFlag.dadFailed)) !== 0,
    noPrefixRoute: (flags & addressFlag.noPrefixRoute) !== 0,
    ...protocol !== void 0 && { protocol }
  };
  return { index: readU32(payload2, 4), address };
}
function linkHeader(index, flags = 0, change = 0) {
  const header4 = new Uint8Array(16);
  const view = new DataView(header4.buffer);
  view.setInt32(4, index, hostIsLittleEndian);
  view.setUint32(8, flags, hostIsLittleEndian);
  view.setUint32(12, change, hostIsLittleEndian);
  return header4;
}
var dumpLinks = (sequence) => requestMessage(type.getLink, flag.dump, sequence, linkHeader(0), (writer) => writer.u32(attribute.extendedMask, skipStatistics));
var dumpAddresses = (sequence) => requestMessage(type.getAddress, flag.dump, sequence, new Uint8Array(8));
var getLink = (sequence, which) => requestMessage(type.getLink, flag.acknowledge, sequence, linkHeader(typeof which === "number" ? which : 0), (writer) => {
  if (typeof which === "string") writer.string(attribute.name, which);
  writer.u32(attribute.extendedMask, skipStatistics);
});
var createLink = (sequence, name, kind) => requestMessage(type.newLink, flag.acknowledge | flag.create | flag.exclusive, sequence, linkHeader(0), (writer) => {
  writer.string(attribute.name, name);
  writer.nested(attribute.linkInfo, () => writer.string(infoKind, kind));
});
var removeLink = (sequence, name) => requestMessage(type.deleteLink, flag.acknowledge, sequence, linkHeader(0), (writer) => writer.string(attribute.name, name));
function setLink(sequence, index, change) {
  const header4 = change.up === void 0 ? linkHeader(index) : linkHeader(index, change.up ? deviceUp : 0, deviceUp);
  return requestMessage(type.newLink, flag.acknowledge, sequence, header4, (writer) => {
    if (change.mac !== void 0) writer.binary(attribute.address, macBytes(change.mac));
    if (change.mtuBytes !== void 0) writer.u32(attribute.mtu, change.mtuBytes);
    if (change.name !== void 0) writer.string(attribute.name, change.name);
  });
}
function changeAddress(verb, sequence, index, address, prefixLength3, options = {}) {
  const bytes = addressBytes(address);
  const header4 = new Uint8Array(8);
  header4[0] = addressFamily[familyOf(address)];
  header4[1] = prefixLength3;
  header4[3] = options.scope ?? 0;
  new DataView(header4.buffer).setUint32(4, index, hostIsLittleEndian);
  const [kind, flags] = verb === "add" ? [type.newAddress, flag.create | flag.exclusive] : [type.deleteAddress, 0];
  return requestMessage(kind, flag.acknowledge | flags, sequence, header4, (writer) => {
    writer.binary(addressAttribute.local, bytes);
    writer.binary(addressAttribute.address, bytes);
    if (verb === "add") {
      writer.u32(addressAttribute.flags, (options.noPrefixRoute ? addressFlag.noPrefixRoute : 0) | (options.noDad ? addressFlag.noDad : 0));
      if (options.label !== void 0) writer.string(addressAttribute.label, options.label);
      if (options.protocol !== void 0) writer.binary(addressAttribute.protocol, Uint8Array.of(options.protocol));
    }
  });
}

// packages/kernel/src/netlink/monitor.ts
import koffi3 from "koffi";

// packages/kernel/src/netlink/namespace.ts
import { closeSync, openSync } from "node:fs";
var cloneNewnet = 1073741824;
function inNamespace(namespace, body) {
  const path = namespace.includes("/") ? namespace : `/run/netns/${namespace}`;
  const outside = openNamespace("/proc/thread-self/ns/net");
  try {
    const inside = openNamespace(path);
    const entered = setns(inside, cloneNewnet);
    const why = entered < 0 ? errnoName(errno()) : "";
    closeSync(inside);
    if (entered < 0) throw new NetlinkError(why, `cannot enter the network namespace ${path}: ${why}`);
    try {
      return body();
    } finally {
      if (setns(outside, cloneNewnet) < 0) process.abort();
    }
  } finally {
    closeSync(outside);
  }
}
function openNamespace(path) {
  try {
    return openSync(path, "r");
  } catch (cause) {
    const code = String(cause.code);
    throw new NetlinkError(code, `cannot open the network namespace ${path}: ${code}`);
  }
}

// packages/kernel/src/netlink/monitor.ts
var datagramsPerTurn = 256;
var receiveBytes2 = 256 * 1024;
function openMonitor(namespace) {
  const subscriptions = /* @__PURE__ */ new Set();
  const buffer2 = new Uint8Array(receiveBytes2);
  function subscribe(protocol, groups2, onMessages, onOverrun, onlyType) {
    const open = () => openNetlinkDescriptor(protocol, groups2, onlyType);
    const fd = namespace === void 0 ? open() : inNamespace(namespace, open);
    let closed = false;
    function take2() {
      const messages = [];
      for (let turn = 0; turn < datagramsPerTurn; turn++) {
        const datagram = receiveMessages(fd, buffer2);
        if (datagram === void 0) break;
        if (datagram === "overrun") {
          overrun();
          return;
        }
        messages.push(...datagram);
      }
      if (messages.length > 0) onMessages(messages);
    }
    function overrun() {
      while (receiveMessages(fd, buffer2) !== void 0) ;
      onOverrun();
    }
    const onReadable = (...args) => {
      if (closed) return;
      if (typeof args[0] === "number" && args[0] < 0) handle.start({ readable: true }, onReadable);
      take2();
    };
    const handle = koffi3.node.poll(fd, { readable: true }, onReadable);
    const subscription = {
      close() {
        if (closed) return;
        closed = true;
        subscriptions.delete(subscription);
        handle.close();
        close(fd);
      }
    };
    subscriptions.add(subscription);
    return subscription;
  }
  return {
    subscribe,
    close() {
      for (const subscription of [...subscriptions]) subscription.close();
    }
  };
}

// packages/kernel/src/programmer/netlink.ts
var messagesAtOnce = 500;
function openNetlinkTable(words2, dumps, concerns = () => true) {
  const socket2 = openNetlinkSocket(netlinkProtocol.route);
  const slowDumps = new DumpSocket(openNetlinkDescriptor(netlinkProtocol.route));
  const monitor = openMonitor();
  const ownPort = portOf(socket2);
  const writer = new MessageWriter();
  const watchers = /* @__PURE__ */ new Set();
  monitor.subscribe(
    netlinkProtocol.route,
    words2.groups,
    (messages) => {
      if (watchers.size === 0) return;
      const changes = messages.flatMap((message2) => message2.portId !== ownPort && concerns(message2) ? words2.parse(message2) ?? [] : []);
      if (changes.length > 0) for (const watcher of [...watchers]) watcher.onChanges(changes);
    },
    () => {
      for (const watcher of [...watchers]) watcher.onLost();
    }
  );
  function dump(requests, accept3) {
    return requests.flatMap((request) => {
      const { answers, refusals } = socket2.exchange([request(socket2.nextSequence())]);
      const [refusal] = refusals;
      if (refusal?.code === "ENOENT") return [];
      if (refusal)
        throw new NetlinkError(refusal.code, `cannot read ${words2.plural}: the kernel says ${refusal.code}${refusal.detail ? ` (${refusal.detail})` : ""}`);
      return answers.flatMap((answer) => accept3(answer) ? words2.parse(answer)?.object ?? [] : []);
    });
  }
  async function readInSlices(visit) {
    for (const request of dumps) {
      const take2 = (buffer2, start, end, type4) => {
        const message2 = { type: type4, flags: 0, sequence: 0, portId: 0, payload: buffer2.subarray(start, end) };
        const change = concerns(message2) ? words2.parse(message2) : void 0;
        if (change) visit(change.object);
      };
      try {
        await slowDumps.read(request(socket2.nextSequence()), take2);
      } catch (error) {
        if (!(error instanceof DumpRefused) || error.code !== "ENOENT") throw error;
      }
    }
  }
  function commit3(operations) {
    const refused = [];
    for (let first = 0; first < operations.length; first += messagesAtOnce) {
      const bySequence = /* @__PURE__ */ new Map();
      writer.reset();
      for (const operation2 of operations.slice(first, first + messagesAtOnce)) {
        const sequence = socket2.nextSequence();
        bySequence.set(sequence, operation2);
        words2.write(writer, sequence, operation2);
      }
      for (const { sequence, code, detail } of socket2.exchange([writer.bytes()]).refusals) {
        const operation2 = bySequence.get(sequence);
        if (operation2) refused.push({ operation: operation2, code: refusalCode(code), errno: code, ...detail === void 0 ? {} : { detail } });
      }
    }
    return refused;
  }
  return {
    read: () => dump(dumps, concerns),
    dump,
    readInSlices,
    commit: commit3,
    watch(onChanges, onLost) {
      const watcher = { onChanges, onLost };
      watchers.add(watcher);
      return { close: () => watchers.delete(watcher) };
    },
    close() {
      slowDumps.close();
      monitor.close();
      socket2.close();
    }
  };
}
function portOf(socket2) {
  const [answer] = socket2.exchange([getLink(socket2.nextSequence(), 1)]).answers;
  if (!answer) throw new NetlinkError("ENODEV", "cannot learn the port of a netlink socket: the kernel did not describe link 1");
  return answer.portId;
}
function refusalCode(errno2) {
  switch (errno2) {
    case "ENODEV":
    case "ENXIO":
      return "DEVICE_GONE";
    case "ENETDOWN":
      return "DEVICE_DOWN";
    case "EEXIST":
      return "EXISTS";
    case "ESRCH":
    case "ENOENT":
      return "ABSENT";
    default:
      return "REFUSED";
  }
}

// packages/kernel/src/routes/route.ts
var routeTypes = [
  "unicast",
  "local",
  "broadcast",
  "anycast",
  "multicast",
  "blackhole",
  "unreachable",
  "prohibit",
  "throw",
  "nat",
  "xresolve"
];
var routeScope = { universe: 0, site: 200, link: 253, host: 254, nowhere: 255 };
var routeTable = { default: 253, main: 254, local: 255 };
var routeKey = (route) => `${route.family} ${route.table} ${route.destination} ${kernelMetric(route)}`;
var ipv6DefaultMetric = 1024;
var kernelMetric = ({ family, metric }) => family === 6 && metric === 0 ? ipv6DefaultMetric : metric;
function deviceRoute(route) {
  const { family } = splitCidr(route.destination);
  return { ...route, family, table: routeTable.main, scope: family === 4 ? routeScope.link : routeScope.universe, type: "unicast" };
}
var routeKind = {
  wantedKey: routeKey,
  deviceName: (route) => route.device,
  place({ device: _, ...route }, deviceIndex) {
    const scope = route.family === 6 ? routeScope.universe : route.scope;
    return { ...route, scope, metric: kernelMetric(route), ...deviceIndex === void 0 ? {} : { deviceIndex } };
  },
  key: (route) => route.tos ? `${routeKey(route)} tos ${route.tos}` : routeKey(route),
  same: (a, b) => sameFields.every((field) => a[field] === b[field]),
  deviceIndex: (route) => route.deviceIndex,
  // In a request to delete, the kernel reads metric 0 as "any".
  deleteMayMiss: (route) => route.family === 4 && route.metric === 0,
  check: checkRoute
};
var sameFields = ["type", "protocol", "scope", "via", "prefSource", "deviceIndex", "multipath"];
function checkRoute(route) {
  const { family } = splitCidr(route.destination);
  if (family !== route.family) throw new RangeError(`the route to ${route.destination} says that it is of family ${route.family}`);
  if (route.via !== void 0) addressBytes(route.via);
  if (route.prefSource !== void 0 && familyOf(route.prefSource) !== family) {
    throw new RangeError(`${route.prefSource} cannot be the source of a route to ${route.destination}`);
  }
  const numbers = {
    metric: [route.metric, 4294967295],
    table: [route.table, 4294967295],
    protocol: [route.protocol, 255],
    scope: [route.scope, 255]
  };
  for (const [name, [value, most]] of Object.entries(numbers)) {
    if (!Number.isInteger(value) || value < 0 || value > most)
      throw new RangeError(`the route to ${route.destination} has the ${name} ${value}: it must be 0 to ${most}`);
  }
}

// packages/kernel/src/routes/messages.ts
var routeMessage = { newRoute: 24, deleteRoute: 25 };
var type2 = { ...routeMessage, getRoute: 26 };
var routeGroups = [7, 11];
var attribute2 = { destination: 1, oif: 4, gateway: 5, priority: 6, prefSource: 7, multipath: 9, table: 15, via: 18 };
var cloned = 512;
function readRouteMessage(message2) {
  if (message2.type !== type2.newRoute && message2.type !== type2.deleteRoute) return void 0;
  const object2 = readRoute(message2.payload);
  return object2 && { is: message2.type === type2.newRoute ? "present" : "absent", object: object2 };
}
function passes({ payload: payload2 }, filter) {
  if (filter.protocol !== void 0 && payload2[5] !== filter.protocol) return false;
  let table3 = payload2[4];
  if (filter.table !== void 0 && filter.table < 256 && table3 !== filter.table) return false;
  if ((filter.table === void 0 || filter.table < 256) && filter.deviceIndex === void 0) return true;
  let deviceIndex;
  eachAttribute(payload2, 12, (kind, value) => {
    if (kind === attribute2.table) table3 = readU32(value);
    if (kind === attribute2.oif) deviceIndex = readU32(value);
  });
  return (filter.table === void 0 || table3 === filter.table) && (filter.deviceIndex === void 0 || deviceIndex === filter.deviceIndex);
}
function readRoute(payload2) {
  const family = familyOfNumber(payload2[0]);
  const kind = routeTypes[payload2[7] - 1];
  const sourceLength = payload2[2];
  if (!family || !kind || sourceLength > 0 || (readU32(payload2, 8) & cloned) !== 0) return void 0;
  let destination = unspecified[family];
  let table3 = payload2[4];
  let metric = 0;
  let multipath = false;
  let deviceIndex;
  let via;
  let prefSource;
  eachAttribute(payload2, 12, (name, value) => {
    if (name === attribute2.destination) destination = value;
    else if (name === attribute2.table) table3 = readU32(value);
    else if (name === attribute2.priority) metric = readU32(value);
    else if (name === attribute2.oif) deviceIndex = readU32(value);
    else if (name === attribute2.gateway) via = addressFromBytes(value);
    else if (name === attribute2.via)
      via = addressFromBytes(value.subarray(2));
    else if (name === attribute2.prefSource) prefSource = addressFromBytes(value);
    else if (name === attribute2.multipath) multipath = true;
  });
  const tos = payload2[3];
  return {
    family,
    destination: `${addressFromBytes(destination)}/${payload2[1]}`,
    // the kernel keeps it masked
    metric,
    table: table3,
    protocol: payload2[5],
    scope: payload2[6],
    type: kind,
    ...via === void 0 ? {} : { via },
    ...prefSource === void 0 ? {} : { prefSource },
    ...deviceIndex === void 0 || leadsNowhere.has(kind) ? {} : { deviceIndex },
    ...tos === 0 ? {} : { tos },
    ...multipath ? { multipath: true } : {}
  };
}
var leadsNowhere = /* @__PURE__ */ new Set(["blackhole", "unreachable", "prohibit", "throw"]);
var unspecified = { 4: new Uint8Array(4), 6: new Uint8Array(16) };
var verbs = {
  create: { type: type2.newRoute, flags: flag.create | flag.exclusive },
  replace: { type: type2.newRoute, flags: flag.create | flag.replace },
  delete: { type: type2.deleteRoute, flags: 0 }
};
function writeRouteOperation(writer, sequence, { verb, object: route }) {
  const { bytes, length } = splitCidr(route.destination);
  writer.begin(verbs[verb].type, flag.request | flag.acknowledge | verbs[verb].flags, sequence);
  const table3 = route.table < 256 ? route.table : 0;
  const kind = routeTypes.indexOf(route.type) + 1;
  writer.raw(Uint8Array.of(addressFamily[route.family], length, 0, route.tos ?? 0, table3, route.protocol, route.scope, kind, 0, 0, 0, 0));
  writer.binary(attribute2.destination, bytes);
  writer.u32(attribute2.table, route.table);
  writer.u32(attribute2.priority, route.metric);
  if (route.deviceIndex !== void 0) writer.u32(attribute2.oif, route.deviceIndex);
  if (route.prefSource !== void 0) writer.binary(attribute2.prefSource, addressBytes(route.prefSource));
  if (route.via !== void 0) writeVia(writer, route.family, route.via);
  writer.end();
}
function writeVia(writer, family, via) {
  const viaFamily = familyOf(via);
  if (viaFamily === family) {
    writer.binary(attribute2.gateway, addressBytes(via));
    return;
  }
  const bytes = new Uint8Array(18);
  new DataView(bytes.buffer).setUint16(0, addressFamily[viaFamily], hostIsLittleEndian);
  bytes.set(addressBytes(via), 2);
  writer.binary(attribute2.via, bytes);
}
function dumpRoutes(sequence, family, filter) {
  const writer = new MessageWriter(64);
  writer.begin(type2.getRoute, flag.request | flag.dump, sequence);
  writer.raw(Uint8Array.of(addressFamily[family], 0, 0, 0, 0, filter.protocol ?? 0, 0, 0, 0, 0, 0, 0));
  if (filter.table !== void 0) writer.u32(attribute2.table, filter.table);
  if (filter.deviceIndex !== void 0) writer.u32(attribute2.oif, filter.deviceIndex);
  writer.end();
  return writer.bytes();
}

// packages/kernel/src/ipset/ipset.ts
var namesOnly = 1 << 1;
var header = new Uint8Array([2, 0, 0, 0]);

// packages/kernel/src/links/link.ts
function isInterfaceName(name) {
  return name !== "." && name !== ".." && !/[/:%\s\u0000]/.test(name) && name.length > 0 && Buffer.byteLength(name) <= 15;
}

// packages/kernel/src/links/table.ts
var none = [];
function createLinkTable() {
  const byIndex = /* @__PURE__ */ new Map();
  const claims = /* @__PURE__ */ new Map();
  const named2 = /* @__PURE__ */ new Map();
  const addressesOn = /* @__PURE__ */ new Map();
  let lastEpoch = 0;
  const addresses2 = (name) => addressesOn.get(named2.get(name)?.index ?? -1) ?? none;
  function observed(change) {
    const lost = { any: /* @__PURE__ */ new Set(), ipv4: /* @__PURE__ */ new Set() };
    const before = /* @__PURE__ */ new Map();
    change((name) => {
      if (name !== void 0 && !before.has(name)) before.set(name, { link: named2.get(name), addresses: addresses2(name) });
    }, lost);
    for (const name of before.keys()) {
      const link = byIndex.get(claims.get(name)?.at(-1) ?? -1);
      if (link) named2.set(name, link);
      else named2.delete(name);
    }
    const changed = { links: /* @__PURE__ */ new Set(), addresses: new Set(lost.any), lostIpv4: lost.ipv4 };
    for (const [name, was] of before) {
      if (!sameLink(was.link, named2.get(name))) changed.links.add(name);
      if (!sameAddresses(was.addresses, addresses2(name))) changed.addresses.add(name);
    }
    return changed;
  }
  function put(facts, lost) {
    const known = byIndex.get(facts.index);
    const epoch = known && !lost && !(known.up && !facts.up) ? known.epoch : ++lastEpoch;
    if (known) disclaim(known);
    byIndex.set(facts.index, { ...facts, epoch });
    claims.set(facts.name, [...claims.get(facts.name) ?? [], facts.index]);
  }
  function remove2(index) {
    const known = byIndex.get(index);
    if (known) disclaim(known);
    byIndex.delete(index);
  }
  function disclaim({ name, index }) {
    const others = (claims.get(name) ?? []).filter((other) => other !== index);
    if (others.length > 0) claims.set(name, others);
    else claims.delete(name);
  }
  function applyOne(event, touch, lost) {
    switch (event.event) {
      case "link":
        touch(byIndex.get(event.link.index)?.name);
        touch(event.link.name);
        put(event.link, false);
        break;
      case "gone":
        touch(byIndex.get(event.index)?.name);
        addressesOn.delete(event.index);
        remove2(event.index);
        break;
      case "address":
      case "address-gone": {
        const name = byIndex.get(event.index)?.name;
        touch(name);
        if (name !== void 0 && event.event === "address-gone") {
          lost.any.add(name);
          if (event.address.family === 4) lost.ipv4.add(name);
        }
        const others = (addressesOn.get(event.index) ?? none).filter((address) => !isSameAddress(address, event.address));
        const now = event.event === "address" ? [...others, event.address] : others;
        if (now.length > 0) addressesOn.set(event.index, now);
        else addressesOn.delete(event.index);
        break;
      }
      default:
        unreachable(event);
    }
  }
  return {
    links: named2,
    nameOf: (index) => byIndex.get(index)?.name,
    addresses: addresses2,
    apply: (events) => observed((touch, lost) => {
      for (const event of events) applyOne(event, touch, lost);
    }),
    replace: (reading, lost) => observed((touch) => {
      for (const name of claims.keys()) touch(name);
      for (const link of reading.links) touch(link.name);
      const here = new Set(reading.links.map((link) => link.index));
      for (const index of [...byIndex.keys()]) if (!here.has(index)) remove2(index);
      for (const link of reading.links) put(link, lost);
      addressesOn.clear();
      for (const { index, address } of reading.addresses) addressesOn.set(index, [...addressesOn.get(index) ?? none, address]);
    })
  };
}
var isSameAddress = (a, b) => a.address === b.address && a.prefixLength === b.prefixLength;
var linkFields = ["name", "index", "up", "running", "mac", "mtuBytes", "kind", "masterIndex", "epoch"];
var sameLink = (a, b) => a === b || !!a && !!b && linkFields.every((field) => a[field] === b[field]);
var print = (a) => `${a.address}/${a.prefixLength} ${a.scope} ${a.tentative} ${a.noPrefixRoute} ${a.protocol}`;
function sameAddresses(a, b) {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  const printed = new Set(a.map(print));
  return b.every((address) => printed.has(print(address)));
}

// packages/kernel/src/links/links.ts
var pauseMs = 50;
function linksFrom(source, options = {}) {
  const { onTrouble = () => void 0, isTransient: isTransient3 = () => false, later = (run) => setTimeout(run, pauseMs) } = options;
  const table3 = createLinkTable();
  const listeners = /* @__PURE__ */ new Set();
  let closed = false;
  function tell(change) {
    if (change.links.size === 0 && change.addresses.size === 0 && change.lostIpv4.size === 0) return;
    for (const listener of [...listeners]) listener(change);
  }
  function readAfterLoss() {
    if (closed) return;
    let reading;
    try {
      reading = source.read();
    } catch (error) {
      if (!isTransient3(error)) throw error;
      onTrouble(error);
      later(readAfterLoss);
      return;
    }
    tell(table3.replace(reading, true));
  }
  const subscription = source.watch((events) => tell(table3.apply(events)), readAfterLoss);
  try {
    table3.replace(source.read(), false);
  } catch (error) {
    subscription.close();
    source.close();
    throw error;
  }
  return {
    links: table3.links,
    link: (name) => table3.links.get(name),
    nameOf: (index) => table3.nameOf(index) ?? source.nameOf(index),
    addresses: table3.addresses,
    watch(listener) {
      const own = (change) => listener(change);
      listeners.add(own);
      return { close: () => listeners.delete(own) };
    },
    refresh: () => tell(table3.replace(source.read(), false)),
    close() {
      closed = true;
      listeners.clear();
      subscription.close();
      source.close();
    }
  };
}

// packages/kernel/src/links/netlink.ts
var isTransient2 = (error) => error instanceof NetlinkError && ["EINTR", "ENOBUFS", "ETIMEDOUT"].includes(error.code);
function openLinks(options = {}) {
  const socket2 = openNetlinkSocket(netlinkProtocol.route);
  const monitor = openMonitor();
  function ask(request, what) {
    const { answers, refusals } = socket2.exchange([request]);
    const [refusal] = refusals;
    if (refusal) throw new NetlinkError(refusal.code, `cannot read ${what}: the kernel says ${refusal.code}${refusal.detail ? ` (${refusal.detail})` : ""}`);
    return answers.flatMap((answer) => readLinkMessage(answer) ?? []);
  }
  const source = {
    read() {
      const links2 = ask(dumpLinks(socket2.nextSequence()), "the links");
      const addresses2 = ask(dumpAddresses(socket2.nextSequence()), "the links' addresses");
      return {
        links: links2.flatMap((event) => event.event === "link" ? [event.link] : []),
        addresses: addresses2.flatMap((event) => event.event === "address" ? [event] : [])
      };
    },
    watch: (onEvents, onLost) => monitor.subscribe(
      netlinkProtocol.route,
      linkGroups,
      (messages) => {
        const events = messages.flatMap((message2) => readLinkMessage(message2) ?? []);
        if (events.length > 0) onEvents(events);
      },
      onLost
    ),
    nameOf: (index) => find(index)?.name,
    close() {
      monitor.close();
      socket2.close();
    }
  };
  function find(which) {
    for (const answer of socket2.exchange([getLink(socket2.nextSequence(), which)]).answers) {
      const event = readLinkMessage(answer);
      if (event?.event === "link") return event.link;
    }
    return void 0;
  }
  function tell(request) {
    const [refusal] = socket2.exchange([request]).refusals;
    return refusal && { code: refusal.code, ...refusal.detail === void 0 ? {} : { detail: refusal.detail } };
  }
  function onLink(name, request, known) {
    const link = known === void 0 ? find(name) : { index: known };
    return link ? tell(request(link.index)) : { code: "ENODEV", detail: `there is no link ${name}` };
  }
  const named2 = (name) => isInterfaceName(name) ? void 0 : { code: "EINVAL", detail: `${JSON.stringify(name)} is no interface's name` };
  return {
    ...linksFrom(source, { ...options, isTransient: isTransient2 }),
    createLink: (name, kind) => named2(name) ?? tell(createLink(socket2.nextSequence(), name, kind)),
    removeLink: (name) => tell(removeLink(socket2.nextSequence(), name)),
    indexOf: (name) => find(name)?.index,
    setLink: (name, change) => named2(change.name ?? name) ?? onLink(name, (index) => setLink(socket2.nextSequence(), index, change)),
    addAddress: (name, address, prefixLength3, addressOptions) => onLink(name, (index) => changeAddress("add", socket2.nextSequence(), index, address, prefixLength3, addressOptions), addressOptions?.index),
    removeAddress: (name, address, prefixLength3, addressOptions) => onLink(name, (index) => changeAddress("remove", socket2.nextSequence(), index, address, prefixLength3), addressOptions?.index)
  };
}

// packages/kernel/src/neighbours/neighbour.ts
var neighbourKey = ({ kind, device, address }) => `${kind} ${device} ${address}`;
function printNeighbour(neighbour) {
  const device = "device" in neighbour ? neighbour.device : `#${neighbour.deviceIndex}`;
  const mac = "mac" in neighbour && neighbour.mac !== void 0 ? ` lladdr ${neighbour.mac}` : "";
  return `${neighbour.address} dev ${device}${mac} ${neighbour.kind}`;
}
var neighbourKind = {
  wantedKey: neighbourKey,
  deviceName: ({ device }) => device,
  place({ device: _, ...neighbour }, deviceIndex) {
    if (deviceIndex === void 0) throw new TypeError("a neighbour is always on a link");
    return { ...neighbour, deviceIndex };
  },
  // One entry for an address on a link, permanent or not; proxies are a list of their own.
  key: ({ kind, deviceIndex, address }) => `${kind === "proxy" ? "proxy" : "entry"} ${deviceIndex} ${address}`,
  same: (a, b) => printNeighbour(a) === printNeighbour(b),
  deviceIndex: ({ deviceIndex }) => deviceIndex,
  deleteMayMiss: () => false,
  check: checkNeighbour
};
function checkNeighbour(neighbour) {
  addressBytes(neighbour.address);
  if (neighbour.kind === "permanent") macBytes(neighbour.mac);
}

// packages/kernel/src/neighbours/messages.ts
var type3 = { newNeighbour: 28, deleteNeighbour: 29, getNeighbour: 30 };
var neighbourGroups = [3];
var attribute3 = { destination: 1, linkLayerAddress: 2 };
var proxyFlag = 8;
var permanentState = 128;
function readNeighbourMessage(message2) {
  if (message2.type !== type3.newNeighbour && message2.type !== type3.deleteNeighbour) return void 0;
  const object2 = readNeighbour(message2.payload);
  return object2 && { is: message2.type === type3.newNeighbour ? "present" : "absent", object: object2 };
}
function readNeighbour(payload2) {
  if (familyOfNumber(payload2[0]) === void 0) return void 0;
  const attributes = readAttributes(payload2, 12);
  const bytes = attributes.get(attribute3.destination);
  if (!bytes) return void 0;
  const [deviceIndex, address] = [readI32(payload2, 4), addressFromBytes(bytes)];
  if ((payload2[10] & proxyFlag) !== 0) return { kind: "proxy", deviceIndex, address };
  const mac = attributes.get(attribute3.linkLayerAddress);
  const kind = (readU16(payload2, 8) & permanentState) !== 0 ? "permanent" : "learned";
  return { kind, deviceIndex, address, ...mac?.length === 6 ? { mac: macFromBytes(mac) } : {} };
}
function header2(family, deviceIndex, state, flags) {
  const bytes = new Uint8Array(12);
  const view = new DataView(bytes.buffer);
  bytes[0] = addressFamily[family];
  view.setInt32(4, deviceIndex, hostIsLittleEndian);
  view.setUint16(8, state, hostIsLittleEndian);
  bytes[10] = flags;
  return bytes;
}
function writeNeighbourOperation(writer, sequence, { verb, object: object2 }) {
  const [kind, flags] = verb === "delete" ? [type3.deleteNeighbour, 0] : [type3.newNeighbour, flag.create | flag.replace];
  writer.begin(kind, flag.request | flag.acknowledge | flags, sequence);
  writer.raw(header2(familyOf(object2.address), object2.deviceIndex, permanentState, object2.kind === "proxy" ? proxyFlag : 0));
  writer.binary(attribute3.destination, addressBytes(object2.address));
  if (object2.kind !== "proxy" && object2.mac !== void 0 && verb !== "delete") writer.binary(attribute3.linkLayerAddress, macBytes(object2.mac));
  writer.end();
}
function dumpNeighbours(sequence, family, which) {
  const writer = new MessageWriter(64);
  writer.begin(type3.getNeighbour, flag.request | flag.dump, sequence);
  writer.raw(header2(family, 0, 0, which === "proxies" ? proxyFlag : 0));
  writer.end();
  return writer.bytes();
}

// packages/kernel/src/neighbours/netlink.ts
function openNeighbours() {
  const dumps = [4, 6].flatMap(
    (family) => ["entries", "proxies"].map(
      (which) => (sequence) => dumpNeighbours(sequence, family, which)
    )
  );
  const words2 = { plural: "the neighbours", groups: neighbourGroups, parse: readNeighbourMessage, write: writeNeighbourOperation };
  return openNetlinkTable(words2, dumps);
}

// packages/kernel/src/programmer/diff.ts
function diff(kind, known, want) {
  const ours = known?.ours ?? [];
  const deletions = (objects) => objects.map((object2) => ({ verb: "delete", object: object2 }));
  if (want === void 0) {
    if (known?.doubtful && ours.some((object2) => kind.deleteMayMiss(object2))) return { puts: [], deletions: [], next: "read" };
    return { puts: [], deletions: deletions(ours) };
  }
  if (known === void 0 || known.doubtful) return { puts: [{ verb: "create", object: want }], deletions: [] };
  const others = ours.filter((object2) => !kind.same(object2, want));
  if (others.length < ours.length) return { puts: [], deletions: deletions(others) };
  if (ours.length === 0) return { puts: [{ verb: "create", object: want }], deletions: [] };
  if (ours.length > 1 || known.foreign) return { puts: [], deletions: deletions(ours), next: "again" };
  return { puts: [{ verb: "replace", object: want }], deletions: [] };
}

// packages/kernel/src/programmer/sets-by-key.ts
function addTo(map, at, value) {
  if (at === void 0) return;
  const set2 = map.get(at);
  if (set2) set2.add(value);
  else map.set(at, /* @__PURE__ */ new Set([value]));
}
function dropFrom(map, at, value) {
  if (at === void 0) return;
  const set2 = map.get(at);
  set2?.delete(value);
  if (set2?.size === 0) map.delete(at);
}

// packages/kernel/src/programmer/known.ts
var nothingKnown = { ours: [], foreign: false, doubtful: false };
var KnownObjects = class {
  #kind;
  #held = /* @__PURE__ */ new Map();
  /** Keys by the index of the link that their objects belong to. */
  #heldOn = /* @__PURE__ */ new Map();
  #audit;
  constructor(kind) {
    this.#kind = kind;
  }
  get(key) {
    return this.#held.get(key);
  }
  /** Sets what is known under the key. */
  hold(key, known) {
    this.#audit?.news.add(key);
    for (const object2 of this.#held.get(key)?.ours ?? []) dropFrom(this.#heldOn, this.#kind.deviceIndex(object2), key);
    for (const object2 of known.ours) addTo(this.#heldOn, this.#kind.deviceIndex(object2), key);
    if (known.ours.length > 0 || known.foreign || known.doubtful) this.#held.set(key, known);
    else this.#held.delete(key);
  }
  /** Marks what is known under the key as possibly stale. @param present our objects that were reported there */
  doubt(key, present = []) {
    const ours = this.#held.get(key)?.ours ?? [];
    const more = present.filter((object2) => !ours.some((one) => this.#kind.same(one, object2)));
    this.hold(key, { ours: [...ours, ...more], foreign: false, doubtful: true });
  }
  /** Marks the objects of a link as possibly gone. Returns the keys that are in doubt because of it. */
  loseFaithIn(deviceIndex) {
    this.#audit?.flapped.add(deviceIndex);
    const keys = [...this.#heldOn.get(deviceIndex) ?? []];
    for (const key of keys) this.doubt(key);
    return keys;
  }
  /** Replaces everything by a reading of the whole kernel. Returns all keys under which something is or was held. */
  replace(found) {
    const keys = this.#keysOf(found);
    for (const key of keys) this.hold(key, found.get(key) ?? nothingKnown);
    return keys;
  }
  get isAudited() {
    return this.#audit !== void 0;
  }
  beginAudit() {
    this.#audit = { found: /* @__PURE__ */ new Map(), news: /* @__PURE__ */ new Set(), flapped: /* @__PURE__ */ new Set() };
    return this.#audit;
  }
  endAudit() {
    this.#audit = void 0;
  }
  /**
   * Takes over what an audit has found and no event had reported. Keys that became known during the audit are left as they are. The objects of a link that went down or away
   * meanwhile may have been read before that, so they are in doubt. Returns the keys that differed.
   */
  takeOver({ found, news, flapped }) {
    const differing = [...this.#keysOf(found)].filter(
      (key) => !news.has(key) && !this.#isSame(this.#held.get(key) ?? nothingKnown, found.get(key) ?? nothingKnown)
    );
    for (const key of differing) {
      const known = found.get(key) ?? nothingKnown;
      this.hold(key, { ...known, doubtful: known.ours.some((object2) => flapped.has(this.#kind.deviceIndex(object2) ?? -1)) });
    }
    return differing;
  }
  #keysOf(found) {
    return /* @__PURE__ */ new Set([...this.#held.keys(), ...found.keys()]);
  }
  #isSame(a, b) {
    return a.foreign === b.foreign && a.doubtful === b.doubtful && a.ours.length === b.ours.length && a.ours.every((object2, index) => this.#kind.same(object2, b.ours[index]));
  }
};

// packages/kernel/src/programmer/wanted.ts
var WantedObjects = class {
  #kind;
  #devices;
  #wanted = /* @__PURE__ */ new Map();
  /** Keys of desired objects by the name of their device. */
  #wantedOn = /* @__PURE__ */ new Map();
  /** The link that objects for a name were placed on, as last reported; absent when there is none. */
  #placedOn = /* @__PURE__ */ new Map();
  /** The object as it should be in the kernel, by the desired object's key. */
  #placed = /* @__PURE__ */ new Map();
  /** The key of the desired object that a place belongs to, by the kernel's key. */
  #claims = /* @__PURE__ */ new Map();
  /** Keys of desired objects that have to be placed (again). */
  #noted = /* @__PURE__ */ new Set();
  /** Keys of desired objects whose link does not exist. */
  #unplaced = /* @__PURE__ */ new Set();
  constructor(kind, devices) {
    this.#kind = kind;
    this.#devices = devices;
  }
  /** Sets a desired object, and replaces the one with the same key. @throws RangeError for an object that no kernel accepts */
  set(want) {
    this.#kind.check(want);
    const key = this.#kind.wantedKey(want);
    this.remove(key);
    this.#wanted.set(key, want);
    addTo(this.#wantedOn, this.#kind.deviceName(want), key);
    this.#noted.add(key);
  }
  remove(key) {
    const before = this.#wanted.get(key);
    if (before === void 0) return;
    this.#wanted.delete(key);
    dropFrom(this.#wantedOn, this.#kind.deviceName(before), key);
    this.#noted.add(key);
  }
  noteAll() {
    for (const key of this.#wanted.keys()) this.#noted.add(key);
  }
  /** The link of this name may be another now. Returns the indices of the links that may have lost what hung on them. */
  deviceChanged(name) {
    const before = this.#placedOn.get(name);
    const now = this.#devices.link(name);
    const isSame = before !== void 0 && now?.index === before.index && now.epoch === before.epoch;
    if (now && before) this.#placedOn.set(name, now);
    if (!now) this.#placedOn.delete(name);
    for (const key of this.#wantedOn.get(name) ?? []) this.#noted.add(key);
    return isSame ? [] : [before?.index, now?.index].filter((index) => index !== void 0);
  }
  get hasNoted() {
    return this.#noted.size > 0;
  }
  /** Places the recorded objects. @param touched gets the kernel's keys under which another object may be desired now */
  placeNoted(touched) {
    for (const wantedKey of this.#noted) {
      if (this.#place(wantedKey, touched)) this.#unplaced.delete(wantedKey);
      else this.#unplaced.add(wantedKey);
    }
    this.#noted.clear();
  }
  /** Returns false when the object has no place, since its link does not exist. */
  #place(wantedKey, touched) {
    const before = this.#placed.get(wantedKey);
    if (before !== void 0) {
      const key2 = this.#kind.key(before);
      if (this.#claims.get(key2) === wantedKey) this.#claims.delete(key2);
      this.#placed.delete(wantedKey);
      touched.add(key2);
    }
    const want = this.#wanted.get(wantedKey);
    if (want === void 0) return true;
    const name = this.#kind.deviceName(want);
    const link = name === void 0 ? void 0 : this.#devices.link(name);
    if (name !== void 0 && link === void 0) return false;
    if (name !== void 0 && link !== void 0 && !this.#placedOn.has(name)) this.#placedOn.set(name, link);
    const object2 = this.#kind.place(want, link?.index);
    const key = this.#kind.key(object2);
    this.#placed.set(wantedKey, object2);
    this.#claims.set(key, wantedKey);
    touched.add(key);
    return true;
  }
  /** The desired object under one of the kernel's keys. */
  at(key) {
    const wantedKey = this.#claims.get(key);
    return wantedKey === void 0 ? void 0 : this.#placed.get(wantedKey);
  }
  /** The key of the desired object whose place one of the kernel's keys is. */
  claimant(key) {
    return this.#claims.get(key);
  }
  /** Keys of desired objects whose link does not exist. */
  get unplaced() {
    return this.#unplaced;
  }
};

// packages/kernel/src/programmer/programmer.ts
var roundsAtMost = 4;
function programmer(options) {
  return new ObjectProgrammer(options);
}
var ObjectProgrammer = class {
  #kind;
  #table;
  #devices;
  #owns;
  #onDrift;
  #wanted;
  #known;
  /** The kernel's keys under which the desired and the known objects may differ. */
  #dirtyKeys = /* @__PURE__ */ new Set();
  /** Objects refused because of the state of a link: they are retried when that changes. */
  #waiting = /* @__PURE__ */ new Map();
  #subscription;
  #compareDue = true;
  constructor({ kind, table: table3, devices, owns, onDrift = () => void 0 }) {
    this.#kind = kind;
    this.#table = table3;
    this.#devices = devices;
    this.#owns = owns;
    this.#onDrift = onDrift;
    this.#wanted = new WantedObjects(kind, devices);
    this.#known = new KnownObjects(kind);
    this.#subscription = table3.watch(
      (changes) => this.#noteChanges(changes),
      () => {
        this.#compareDue = true;
        this.#onDrift();
      }
    );
  }
  set(want) {
    this.#wanted.set(want);
  }
  remove(key) {
    this.#wanted.remove(key);
  }
  deviceChanged(name) {
    for (const index of this.#wanted.deviceChanged(name)) for (const key of this.#known.loseFaithIn(index)) this.#dirtyKeys.add(key);
  }
  doubtDevice(name) {
    const link = this.#devices.link(name);
    if (link) for (const key of this.#known.loseFaithIn(link.index)) this.#dirtyKeys.add(key);
  }
  distrust() {
    this.#compareDue = true;
  }
  get dirty() {
    return this.#compareDue || this.#wanted.hasNoted || this.#dirtyKeys.size > 0;
  }
  close() {
    this.#subscription.close();
    this.#table.close();
  }
  async audit() {
    if (this.#compareDue || this.#known.isAudited) return;
    const reading = this.#known.beginAudit();
    try {
      await this.#table.readInSlices((object2) => this.#addTo(reading.found, object2));
    } finally {
      this.#known.endAudit();
    }
    if (this.#compareDue) return;
    const differing = this.#known.takeOver(reading);
    for (const key of differing) this.#dirtyKeys.add(key);
    if (differing.length > 0) this.#onDrift();
  }
  apply() {
    const outcome = { refusals: /* @__PURE__ */ new Map(), blocked: /* @__PURE__ */ new Set(), surprises: /* @__PURE__ */ new Set() };
    let operations = 0;
    let compared = false;
    for (let round = 0; round < roundsAtMost; round++) {
      if (this.#compareDue) compared = this.#compare();
      else this.#wanted.placeNoted(this.#dirtyKeys);
      const list = this.#decide(outcome);
      operations += list.length;
      if (list.length > 0) this.#commit(list, outcome);
      if (this.#dirtyKeys.size === 0 && !this.#compareDue) break;
    }
    return { operations, compared, refusals: this.#conclude(outcome) };
  }
  /** Reads the kernel and marks every key as dirty. */
  #compare() {
    this.#wanted.noteAll();
    this.#wanted.placeNoted(this.#dirtyKeys);
    const found = /* @__PURE__ */ new Map();
    for (const object2 of this.#table.read()) this.#addTo(found, object2);
    for (const key of this.#known.replace(found)) this.#dirtyKeys.add(key);
    this.#compareDue = false;
    return true;
  }
  /** Adds an object to what was found, if it is ours or has the key of a desired one. */
  #addTo(found, object2) {
    const key = this.#kind.key(object2);
    const ours = this.#isOurs(object2);
    if (!ours && this.#wanted.claimant(key) === void 0) return;
    const known = found.get(key) ?? nothingKnown;
    found.set(key, ours ? { ...known, ours: [...known.ours, object2] } : { ...known, foreign: true });
  }
  #isOurs(object2) {
    const index = this.#kind.deviceIndex(object2);
    return this.#owns(object2, index === void 0 ? void 0 : this.#devices.nameOf(index));
  }
  /** The operations for the dirty keys, those for desired objects first. */
  #decide({ blocked }) {
    const keys = [...this.#dirtyKeys];
    this.#dirtyKeys.clear();
    const puts = [];
    const deletions = [];
    for (const key of keys) {
      this.#waiting.delete(key);
      const step = blocked.has(key) ? this.#withoutStray(key) : diff(this.#kind, this.#known.get(key), this.#wanted.at(key));
      puts.push(...step.puts);
      deletions.push(...step.deletions);
      if (step.next === "again") this.#dirtyKeys.add(key);
      if (step.next === "read") this.#compareDue = true;
    }
    return [...puts, ...deletions];
  }
  /** The deletions when a desired object was refused. An object in its place on another device would misdirect packets; on the same device it is better than nothing. */
  #withoutStray(key) {
    const [known, want] = [this.#known.get(key), this.#wanted.at(key)];
    const stray = known?.ours.filter((object2) => want === void 0 || this.#kind.deviceIndex(object2) !== this.#kind.deviceIndex(want));
    return diff(this.#kind, known && stray && { ...known, ours: stray }, void 0);
  }
  #commit(list, outcome) {
    let refused;
    try {
      refused = new Map(this.#table.commit(list).map((refusal) => [refusal.operation, refusal]));
    } catch (error) {
      this.#compareDue = true;
      throw error;
    }
    for (const operation2 of list) this.#advance(operation2, refused.get(operation2), outcome);
  }
  /** Records the result of an operation. */
  #advance({ verb, object: object2 }, refusal, { refusals, blocked, surprises }) {
    const key = this.#kind.key(object2);
    if (verb === "delete") {
      if (refusal?.code === "REFUSED") {
        refusals.set(key, explain(key, refusal));
        return;
      }
      const known = this.#known.get(key);
      const left = (known?.ours ?? []).filter((one) => one !== object2);
      this.#known.hold(key, { ours: left, foreign: known?.foreign ?? false, doubtful: left.length > 0 && (known?.doubtful ?? false) });
    } else if (refusal === void 0) {
      this.#known.hold(key, { ours: [object2], foreign: false, doubtful: false });
    } else if (refusal.code === "EXISTS" && !surprises.has(key) && !this.#known.get(key)?.foreign) {
      surprises.add(key);
      this.#compareDue = true;
    } else {
      refusals.set(key, explain(key, refusal));
      blocked.add(key);
      this.#dirtyKeys.add(key);
    }
  }
  /** Returns the refusals of an `apply`. Those that a link causes wait for that link; the others stay dirty. */
  #conclude(outcome) {
    for (const [key, refusal] of outcome.refusals) {
      if (refusal.code === "DEVICE_GONE" || refusal.code === "DEVICE_DOWN") this.#waiting.set(key, refusal);
      else this.#dirtyKeys.add(key);
    }
    const refusals = [...this.#wanted.unplaced].map((key) => ({ key, code: "DEVICE_GONE" }));
    for (const [key, refusal] of new Map([...outcome.refusals, ...this.#waiting])) refusals.push({ ...refusal, key: this.#wanted.claimant(key) ?? key });
    return refusals;
  }
  #noteChanges(changes) {
    let drift = false;
    for (const { is, object: object2 } of changes) {
      const key = this.#kind.key(object2);
      const known = this.#known.get(key);
      const ours = is === "present" && this.#isOurs(object2);
      if (this.#wanted.claimant(key) === void 0 && known === void 0 && !ours) continue;
      if (is === "present" && known && !known.doubtful && this.#isAsKnown(known, object2, ours)) continue;
      this.#known.doubt(key, ours ? [object2] : []);
      this.#dirtyKeys.add(key);
      drift = true;
    }
    if (drift) this.#onDrift();
  }
  #isAsKnown({ ours, foreign }, object2, isOne) {
    return isOne ? ours.length === 1 && ours.every((one) => this.#kind.same(one, object2)) : foreign && ours.length === 0;
  }
};
function explain(key, { code, errno: errno2, detail }) {
  const printed = code === "EXISTS" ? "OCCUPIED" : code === "ABSENT" ? "REFUSED" : code;
  return { key, code: printed, errno: errno2, ...detail === void 0 ? {} : { detail } };
}

// packages/kernel/src/neighbours/programmer.ts
function createNeighbourProgrammer(options) {
  return programmer({ ...options, kind: neighbourKind });
}

// packages/kernel/src/nftables/operations.ts
var order = [
  "delete table",
  "add table",
  "delete elements",
  "flush chain",
  "delete set",
  "delete chain",
  "delete object",
  "add set",
  "add chain",
  "add rules",
  "add elements"
];
var rank = new Map(order.map((verb, at) => [verb, at]));
var inOrder = (operations) => operations.toSorted((one, other) => (rank.get(one.verb) ?? 0) - (rank.get(other.verb) ?? 0));
var elementId = ({ key }) => String.fromCharCode(...key);
var KeyElement = class {
  #id;
  constructor(id) {
    this.#id = id;
  }
  get key() {
    const key = new Uint8Array(this.#id.length);
    for (let index = 0; index < key.length; index += 1) key[index] = this.#id.charCodeAt(index);
    return key;
  }
};
function heldElement(id, element2) {
  const isKeyAlone = element2.keyEnd === void 0 && element2.data === void 0 && element2.verdict === void 0;
  return isKeyAlone && !(element2 instanceof KeyElement) ? new KeyElement(id) : element2;
}
function sameElement(one, other) {
  return one === other || sameBytes(one.key, other.key) && sameBytes(lastKey(one), lastKey(other)) && sameBytes(one.data, other.data) && verdictText(one) === verdictText(other);
}
var lastKey = (element2) => element2.keyEnd ?? element2.key;
var sameBytes = (one, other) => one === other || one !== void 0 && other !== void 0 && Buffer.compare(one, other) === 0;
function verdictText({ verdict: verdict2 }) {
  if (verdict2 === void 0) return "";
  return "chain" in verdict2 ? `${verdict2.verdict} ${verdict2.chain}` : verdict2.verdict;
}
function sameRules(held2, wanted) {
  return held2.length === wanted.length && wanted.every((rule3, at) => held2[at] !== void 0 && sameBytes(held2[at], rule3));
}

// packages/kernel/src/nftables/text.ts
var longestNameBytes = 255;
var longestCommentBytes = 128;
var longestLogPrefixBytes = 127;
var nftName = /^[A-Za-z_.][A-Za-z0-9_./-]*$/;
function nameProblem(name) {
  if (name.includes("\0")) return "holds a NUL, where the kernel would cut it off";
  if (Buffer.byteLength(name) > longestNameBytes) return `is longer than ${longestNameBytes} bytes`;
  if (!nftName.test(name)) return "has characters that nft cannot read in a name: letters, digits and _ . / - only, no digit, / or - first";
  return void 0;
}
var commentText = (text2) => cut(plain(text2), longestCommentBytes);
var logPrefixText = (text2) => cut(plain(text2).replaceAll("$", "_"), longestLogPrefixBytes);
var quoted = (text2) => `"${plain(text2)}"`;
var plain = (text2) => text2.toWellFormed().replaceAll('"', "'").replace(new RegExp("\\p{Cc}", "gu"), " ");
function cut(text2, bytes) {
  if (Buffer.byteLength(text2) <= bytes) return text2;
  let length = 0;
  let kept = "";
  for (const character of text2) {
    length += Buffer.byteLength(character);
    if (length > bytes) break;
    kept += character;
  }
  return kept;
}

// packages/kernel/src/nftables/types.ts
var types = {
  ipv4_addr: { id: 7, widthBytes: 4, print: addressFromBytes },
  ipv6_addr: { id: 8, widthBytes: 16, print: addressFromBytes },
  ether_addr: { id: 9, widthBytes: 6, print: macFromBytes },
  ether_type: { id: 10, widthBytes: 2, print: (value) => `0x${hex(networkNumber(value), 4)}` },
  arp_op: { id: 11, widthBytes: 2, print: (value) => String(networkNumber(value)) },
  inet_proto: { id: 12, widthBytes: 1, print: printNumber },
  inet_service: { id: 13, widthBytes: 2, print: printNumber },
  icmp_type: { id: 14, widthBytes: 1, print: printNumber },
  mark: { id: 19, widthBytes: 4, hostOrder: true, print: (value) => `0x${hex(hostNumber(value), 8)}` },
  iface_index: { id: 20, widthBytes: 4, hostOrder: true, print: (value) => String(hostNumber(value)) },
  iface_type: { id: 21, widthBytes: 2, hostOrder: true, print: (value) => String(hostNumber(value)) },
  nf_proto: { id: 2, widthBytes: 1, print: (value) => protocolFamilies.get(networkNumber(value)) ?? printNumber(value) },
  ct_state: { id: 26, widthBytes: 4, hostOrder: true, print: (value) => printFlags(hostNumber(value), connectionStates) },
  ct_dir: { id: 27, widthBytes: 1, print: (value) => value[0] === 0 ? "original" : value[0] === 1 ? "reply" : printNumber(value) },
  ct_status: { id: 28, widthBytes: 4, hostOrder: true, print: (value) => printFlags(hostNumber(value), connectionStatuses) },
  icmpv6_type: { id: 29, widthBytes: 1, print: printNumber },
  icmp_code: { id: 32, widthBytes: 1, print: printNumber },
  icmpv6_code: { id: 33, widthBytes: 1, print: printNumber },
  fib_addrtype: { id: 38, widthBytes: 4, hostOrder: true, print: (value) => String(hostNumber(value)) },
  ifname: { id: 41, widthBytes: 16, print: printInterfaceName }
};
var protocolFamilies = /* @__PURE__ */ new Map([
  [2, "ipv4"],
  [10, "ipv6"]
]);
var connectionState = { invalid: 1, established: 2, related: 4, new: 8, untracked: 64 };
var connectionStates = new Map(Object.entries(connectionState).map(([name, bit]) => [bit, name]));
var connectionStatus = { expected: 1, "seen-reply": 2, assured: 4, confirmed: 8, snat: 16, dnat: 32, dying: 512 };
var connectionStatuses = new Map(Object.entries(connectionStatus).map(([name, bit]) => [bit, name]));
var dataTypes = Object.keys(types);
var widthOf = (type4) => types[type4].widthBytes;
var isHostOrder = (type4) => types[type4].hostOrder ?? false;
var typeId = (type4) => types[type4].id;
var printValue = (type4, value) => types[type4].print(value);
function hostNumber(value) {
  return hostIsLittleEndian ? networkNumber(value.toReversed()) : networkNumber(value);
}
var networkNumber = (value) => value.reduce((number2, byte2) => number2 * 256 + byte2, 0);
function hostOrder(number2, widthBytes = 4) {
  return hostIsLittleEndian ? networkOrder(number2, widthBytes).reverse() : networkOrder(number2, widthBytes);
}
function networkOrder(number2, widthBytes) {
  const bytes = new Uint8Array(widthBytes);
  for (let at = widthBytes - 1, rest = number2 >>> 0; at >= 0; at--, rest >>>= 8) bytes[at] = rest & 255;
  return bytes;
}
var hex = (number2, digits) => number2.toString(16).padStart(digits, "0");
function printNumber(value) {
  return String(networkNumber(value));
}
function printFlags(number2, names2) {
  const set2 = [...names2].filter(([bit]) => (number2 & bit) !== 0);
  const named2 = set2.reduce((sum, [bit]) => sum | bit, 0);
  return named2 === number2 && number2 !== 0 ? set2.map(([, name]) => name).join(",") : `0x${hex(number2, 1)}`;
}
function printInterfaceName(value) {
  const end = value.indexOf(0);
  const name = new TextDecoder().decode(end === -1 ? value : value.subarray(0, end));
  return quoted(name.endsWith("*") ? `${name.slice(0, -1)}\\*` : name);
}

// packages/kernel/src/nftables/fields.ts
var linkLayer = 0;
var networkLayer = 1;
var transportLayer = 2;
var icmp = { network: 4, transport: 1 };
var icmpv6 = { network: 6, transport: 58 };
var arp = { network: "arp" };
var fields = {
  "meta iifname": meta(6, "ifname"),
  "meta oifname": meta(7, "ifname"),
  "meta iif": meta(4, "iface_index"),
  "meta iiftype": meta(8, "iface_type"),
  "meta l4proto": meta(16, "inet_proto"),
  "meta nfproto": meta(15, "nf_proto"),
  "meta protocol": meta(1, "ether_type"),
  "meta mark": meta(3, "mark"),
  "ct state": ct(0, "ct_state"),
  "ct mark": ct(3, "mark"),
  "ct status": ct(2, "ct_status"),
  "ct direction": ct(1, "ct_dir"),
  "ct original ip saddr": ct(19, "ipv4_addr", 0),
  "ct original ip daddr": ct(20, "ipv4_addr", 0),
  "ct original ip6 saddr": ct(21, "ipv6_addr", 0),
  "ct original ip6 daddr": ct(22, "ipv6_addr", 0),
  "ct reply ip saddr": ct(19, "ipv4_addr", 1),
  "ct reply ip6 saddr": ct(21, "ipv6_addr", 1),
  "ether saddr": payload(linkLayer, 6, "ether_addr", { ether: true }),
  "ether daddr": payload(linkLayer, 0, "ether_addr", { ether: true }),
  "ether type": payload(linkLayer, 12, "ether_type", { ether: true }),
  "ip saddr": payload(networkLayer, 12, "ipv4_addr", { network: 4 }),
  "ip daddr": payload(networkLayer, 16, "ipv4_addr", { network: 4 }),
  "ip protocol": payload(networkLayer, 9, "inet_proto", { network: 4 }),
  "ip6 saddr": payload(networkLayer, 8, "ipv6_addr", { network: 6 }),
  "ip6 daddr": payload(networkLayer, 24, "ipv6_addr", { network: 6 }),
  "ip6 hoplimit": { ...payload(networkLayer, 7, "inet_proto", { network: 6 }), type: void 0 },
  "th sport": payload(transportLayer, 0, "inet_service", {}),
  "th dport": payload(transportLayer, 2, "inet_service", {}),
  "icmp type": payload(transportLayer, 0, "icmp_type", icmp),
  "icmp code": payload(transportLayer, 1, "icmp_code", icmp),
  "icmpv6 type": payload(transportLayer, 0, "icmpv6_type", icmpv6),
  "icmpv6 code": payload(transportLayer, 1, "icmpv6_code", icmpv6),
  // nft 1.0.6 has no name for this field.
  "nd target": { ...payload(transportLayer, 8, "ipv6_addr", icmpv6), text: "@th,64,128" },
  "dhcp giaddr": { ...payload(transportLayer, 32, "ipv4_addr", {}), text: "@th,256,32" },
  "dhcp chaddr": { ...payload(transportLayer, 36, "ether_addr", {}), text: "@th,288,48" },
  "dhcp first option": {
    type: void 0,
    widthBytes: 3,
    needs: {},
    load: (dreg) => ({ name: "payload", values: { dreg, base: transportLayer, offset: 248, length: 3 } }),
    text: "@th,1984,24"
  },
  "dhcp6 type": { ...payload(transportLayer, 8, "inet_proto", {}), text: "@th,64,8" },
  "arp operation": payload(networkLayer, 6, "arp_op", arp),
  "arp saddr ether": payload(networkLayer, 8, "ether_addr", arp),
  "arp saddr ip": payload(networkLayer, 14, "ipv4_addr", arp),
  "arp daddr ether": payload(networkLayer, 18, "ether_addr", arp),
  "arp daddr ip": payload(networkLayer, 24, "ipv4_addr", arp),
  "fib saddr . iif oif": fib(1, 9, "iface_index"),
  "fib saddr . mark . iif oif": fib(1, 13, "iface_index"),
  "fib daddr type": fib(3, 2, "fib_addrtype")
};
var fieldFacts = (field) => fields[field];
var fieldNames = Object.keys(fields);
var protocolsWithPorts = [6, 17, 33, 132, 136];
function meta(key, type4) {
  return { type: type4, widthBytes: widthOf(type4), needs: {}, load: (dreg) => ({ name: "meta", values: { dreg, key } }) };
}
function ct(key, type4, direction) {
  const given = direction === void 0 ? {} : { direction };
  return { type: type4, widthBytes: widthOf(type4), needs: {}, load: (dreg) => ({ name: "ct", values: { dreg, key, ...given } }) };
}
function payload(base, offset, type4, needs) {
  const length = widthOf(type4);
  return { type: type4, widthBytes: length, needs, load: (dreg) => ({ name: "payload", values: { dreg, base, offset, length } }) };
}
function fib(result, flags, type4) {
  return { type: type4, widthBytes: widthOf(type4), needs: {}, load: (dreg) => ({ name: "fib", values: { dreg, result, flags } }) };
}

// packages/kernel/src/nftables/registers.ts
var firstRegister = 8;
var registers = 16;
var verdictRegister = 0;
var markRegister = 23;
var operation = { equal: 0, notEqual: 1 };
var inverted = 1;
var nfProtocol = { 4: 2, 6: 10 };

// packages/kernel/src/nftables/limit-expression.ts
var secondsOf = { second: 1n, minute: 60n, hour: 3600n, day: 86400n };
var units = Object.keys(secondsOf);
var defaultBurstPackets = 5;
function limitExpression({ rate, unit, burst, over, of }) {
  const size = of === "bytes" || burst > 0 ? burst : defaultBurstPackets;
  const bytes = of === "bytes" ? { type: 1 } : {};
  return { name: "limit", values: { rate: BigInt(rate), unit: secondsOf[unit], burst: size, ...bytes, ...over ? { flags: inverted } : {} } };
}
function readElementLimit({ name, values }) {
  const { rate, unit: seconds, burst, type: type4, flags } = values;
  const unit = units.find((each) => secondsOf[each] === seconds);
  if (name !== "limit" || typeof rate !== "bigint" || typeof burst !== "number" || unit === void 0 || type4 !== void 0 || flags !== inverted)
    return void 0;
  return { rate: Number(rate), unit, burst };
}

// packages/kernel/src/nftables/rule-builder.ts
var etherType = { 4: 2048, 6: 34525, arp: 2054 };
var onlyNetwork = { ip: 4, ip6: 6, arp: "arp", inet: void 0, netdev: void 0 };
var RuleProblem = class extends Error {
};
var RuleBuilder = class {
  family;
  expressions = [];
  /** The network protocol of all packets that get this far in the rule. */
  #network;
  #transport;
  #ether = false;
  /** Whether all packets that get this far have ports. */
  #ports = false;
  constructor(family) {
    this.family = family;
  }
  get hasPorts() {
    return this.#ports;
  }
  /** Loads the fields into consecutive registers, with their checks first. `positive` means that the rule goes on only where the fields match. */
  load(fields2, positive) {
    if (fields2.length === 0) throw new RuleProblem("looks at no field");
    const facts = fields2.map(fieldFacts);
    if (positive && fields2.length > 1 && fields2.some(tellsTransport)) this.#ports = true;
    for (const field of fields2) this.#checkMeaning(field);
    for (const field of facts) this.#require(field);
    let register = firstRegister;
    for (const field of facts) {
      this.expressions.push(field.load(register));
      register += Math.ceil(field.widthBytes / 4);
    }
    if (register > firstRegister + registers) throw new RuleProblem("looks at more than 64 bytes at once");
  }
  /** Records that the rule goes on only where the field has this value. */
  learn(field, value) {
    const number2 = value[0] ?? 0;
    if (field === "meta nfproto") this.#network = number2 === nfProtocol[4] ? 4 : number2 === nfProtocol[6] ? 6 : void 0;
    if (field === "meta l4proto") this.#transport = number2;
    if (tellsTransport(field)) this.#ports = protocolsWithPorts.includes(number2);
    if (field === "meta iiftype" && sameBytes2(value, hostOrder(1, 2))) this.#ether = true;
  }
  requireTransport(transport) {
    if (this.#transport === transport) return;
    this.expressions.push({ name: "meta", values: { dreg: firstRegister, key: 16 } }, compare(new Uint8Array([transport])));
    this.#transport = transport;
  }
  #require(field) {
    const { network, transport, ether } = field.needs;
    if (ether && !this.#ether) {
      this.expressions.push({ name: "meta", values: { dreg: firstRegister, key: 8 } }, compare(hostOrder(1, 2)));
      this.#ether = true;
    }
    if (network !== void 0) this.#requireNetwork(network);
    if (transport !== void 0) this.requireTransport(transport);
  }
  /** A rule that requires two protocols gets both checks, and so matches nothing. */
  #requireNetwork(network) {
    const only = onlyNetwork[this.family];
    if (only !== void 0 && only !== network) throw new RuleProblem(`looks for ${networkName(network)} in a table of the ${this.family} family`);
    if (only !== void 0 || this.#network === network) return;
    if (this.family === "netdev") {
      this.expressions.push({ name: "meta", values: { dreg: firstRegister, key: 1 } }, compare(networkOrder(etherType[network], 2)));
    } else {
      if (network === "arp") throw new RuleProblem("looks for ARP, which no table of the inet family sees");
      this.expressions.push({ name: "meta", values: { dreg: firstRegister, key: 15 } }, compare(new Uint8Array([nfProtocol[network]])));
    }
    this.#network = network;
  }
  #checkMeaning(field) {
    if (field === "nd target" && this.#transport !== 58) throw new RuleProblem("looks for nd target without icmpv6 type before it");
    if ((field === "th sport" || field === "th dport") && !this.#ports) {
      throw new RuleProblem(`looks for ${field} without having asked for a protocol that has ports (meta l4proto): in others something else stands there`);
    }
  }
};
function compare(data, negate) {
  return { name: "cmp", values: { sreg: firstRegister, op: negate ? operation.notEqual : operation.equal, data } };
}
var tellsTransport = (field) => field === "meta l4proto" || field === "ip protocol";
var networkName = (network) => network === "arp" ? "ARP" : `IPv${network}`;
var sameBytes2 = (one, other) => Buffer.compare(one, other) === 0;

// packages/kernel/src/nftables/verdict-data.ts
var verdictCodes = { drop: 0, accept: 1, continue: -1, jump: -3, goto: -4, return: -5 };
function verdictData(verdict2) {
  return "chain" in verdict2 ? { code: verdictCodes[verdict2.verdict], chain: verdict2.chain } : { code: verdictCodes[verdict2.verdict] };
}
function readVerdictData({ code, chain: chain2 }) {
  for (const verdict2 of ["drop", "accept", "continue", "return"]) if (verdictCodes[verdict2] === code) return { verdict: verdict2 };
  for (const verdict2 of ["jump", "goto"]) if (verdictCodes[verdict2] === code && chain2 !== void 0) return { verdict: verdict2, chain: chain2 };
  return void 0;
}

// packages/kernel/src/nftables/compile.ts
var mark = { packet: { name: "meta", key: 3 }, connection: { name: "ct", key: 3 } };
var tcp = 6;
function compileRule(family, statements) {
  const rule3 = new RuleBuilder(family);
  for (const statement of statements) write(rule3, statement);
  return rule3.expressions;
}
function write(rule3, statement) {
  const { expressions: expressions2 } = rule3;
  switch (statement.is) {
    case "match":
      writeMatch(rule3, statement);
      return;
    case "masked":
      writeMasked(rule3, statement);
      return;
    case "range":
      writeRange(rule3, statement);
      return;
    case "in-set":
      rule3.load(statement.fields, !statement.negate);
      expressions2.push({ name: "lookup", values: { set: named(statement.set), sreg: firstRegister, ...statement.negate ? { flags: inverted } : {} } });
      return;
    case "verdict-map":
      rule3.load(statement.fields, true);
      if (statement.via !== void 0) lookUpVia(rule3, named(statement.via));
      expressions2.push({ name: "lookup", values: { set: named(statement.map), sreg: firstRegister, dreg: verdictRegister } });
      return;
    case "counter":
      expressions2.push({ name: "counter", values: {} });
      return;
    case "log":
      expressions2.push({ name: "log", values: { prefix: logPrefixText(statement.prefix) } });
      return;
    case "limit":
      expressions2.push(limitExpression(statement));
      return;
    case "connections-over":
      expressions2.push({ name: "connlimit", values: { count: statement.count, flags: inverted } });
      return;
    case "set-mark":
      writeMark(rule3, statement);
      return;
    case "notrack":
      expressions2.push({ name: "notrack", values: {} });
      return;
    case "nat":
      writeNat(rule3, statement);
      return;
    case "nat-map":
      rule3.load(statement.fields, true);
      expressions2.push({ name: "lookup", values: { set: named(statement.map), sreg: firstRegister, dreg: firstRegister } });
      translate(rule3, statement.kind, statement.family, {});
      return;
    case "masquerade":
      expressions2.push({ name: "masq", values: { ...loadPorts(rule3, firstRegister, statement), ...statement.port !== void 0 && { flags: 2 } } });
      return;
    case "reject":
      writeReject(rule3, statement);
      return;
    case "verdict":
      if ("chain" in statement) named(statement.chain);
      expressions2.push({ name: "immediate", values: { dreg: verdictRegister, data: verdictData(statement) } });
      return;
    default:
      unreachable(statement);
  }
}
function writeMatch(rule3, { field, value, negate }) {
  checkWidth(field, value);
  rule3.load([field], !negate);
  rule3.expressions.push(compare(value, negate));
  if (!negate) rule3.learn(field, value);
}
function writeMasked(rule3, { field, mask, value, negate }) {
  checkWidth(field, mask, value);
  if (value.some((byte2, at) => (byte2 & ~(mask[at] ?? 0)) !== 0)) throw new RuleProblem(`compares ${field} with bits that its mask takes off`);
  rule3.load([field], !negate);
  const prefix2 = fieldFacts(field).type === "ifname" ? wholeBytes(mask) : void 0;
  if (prefix2 !== void 0 && prefix2 > 0) rule3.expressions.push(compare(value.slice(0, prefix2), negate));
  else rule3.expressions.push(bitwise(mask, new Uint8Array(mask.length)), compare(value, negate));
}
function writeRange(rule3, { field, first, last, negate }) {
  checkWidth(field, first, last);
  const { type: type4 } = fieldFacts(field);
  if (type4 !== void 0 && isHostOrder(type4)) throw new RuleProblem(`asks for a range of ${field}, which has no order that the kernel could compare by`);
  if (Buffer.compare(first, last) > 0) throw new RuleProblem(`asks for a range of ${field} that ends before it starts`);
  rule3.load([field], !negate);
  rule3.expressions.push({ name: "range", values: { sreg: firstRegister, op: negate ? operation.notEqual : operation.equal, from: first, to: last } });
}
function lookUpVia({ expressions: expressions2 }, via) {
  const { name, key } = mark.packet;
  expressions2.push(
    { name, values: { dreg: markRegister, key } },
    { name: "lookup", values: { set: via, sreg: firstRegister, dreg: firstRegister } },
    { name, values: { key, sreg: firstRegister } },
    { name, values: { dreg: firstRegister, key } },
    { name, values: { key, sreg: markRegister } }
  );
}
function writeMark({ expressions: expressions2 }, statement) {
  const { name, key } = mark[statement.of];
  const [and, xor] = [statement.and >>> 0, statement.xor >>> 0];
  if (and === 0) expressions2.push({ name: "immediate", values: { dreg: firstRegister, data: hostOrder(xor) } });
  else expressions2.push({ name, values: { dreg: firstRegister, key } }, bitwise(hostOrder(and), hostOrder(xor)));
  expressions2.push({ name, values: { key, sreg: firstRegister } });
}
function writeNat(rule3, statement) {
  const { address, kind, family: version } = statement;
  if (address.length !== (version === 4 ? 4 : 16)) throw new RuleProblem(`translates to an address of ${address.length} bytes in family ${version}`);
  rule3.expressions.push({ name: "immediate", values: { dreg: firstRegister, data: address } });
  translate(rule3, kind, version, loadPorts(rule3, firstRegister + 4, statement));
}
function loadPorts(rule3, register, { port: port2, lastPort }) {
  if (port2 === void 0) return {};
  if (!rule3.hasPorts) throw new RuleProblem("translates to a port without having asked for a protocol that has ports (meta l4proto)");
  if (lastPort !== void 0 && lastPort < port2) throw new RuleProblem(`translates to ports from ${port2} to ${lastPort}`);
  rule3.expressions.push({ name: "immediate", values: { dreg: register, data: networkOrder(port2, 2) } });
  if (lastPort === void 0 || lastPort === port2) return { portMin: register };
  rule3.expressions.push({ name: "immediate", values: { dreg: register + 4, data: networkOrder(lastPort, 2) } });
  return { portMin: register, portMax: register + 4 };
}
function translate({ expressions: expressions2 }, kind, version, ports) {
  const type4 = kind === "snat" ? 0 : 1;
  expressions2.push({ name: "nat", values: { type: type4, family: nfProtocol[version], addressMin: firstRegister, ...ports } });
}
function writeReject(rule3, { with: how }) {
  const { family, expressions: expressions2 } = rule3;
  if (how === "tcp-reset") {
    rule3.requireTransport(tcp);
    expressions2.push({ name: "reject", values: { type: 1 } });
    return;
  }
  if (family === "arp") throw new RuleProblem("rejects, which ARP does not know");
  const codes = { ip: [3, 13], ip6: [4, 1], inet: [1, 3], netdev: [1, 3] }[family];
  const type4 = family === "ip" || family === "ip6" ? 0 : 2;
  expressions2.push({ name: "reject", values: { type: type4, code: codes[how === "port-unreachable" ? 0 : 1] ?? 0 } });
}
function checkWidth(field, ...values) {
  const { widthBytes } = fieldFacts(field);
  const wrong = values.find((value) => value.length !== widthBytes);
  if (wrong !== void 0) throw new RuleProblem(`compares ${field}, which has ${widthBytes} bytes, with ${wrong.length} bytes`);
}
function bitwise(mask, xor) {
  return { name: "bitwise", values: { sreg: firstRegister, dreg: firstRegister, length: mask.length, mask, xor } };
}
function wholeBytes(mask) {
  const length = mask.findIndex((byte2) => byte2 !== 255);
  if (length === -1) return mask.length;
  return mask.subarray(length).every((byte2) => byte2 === 0) ? length : void 0;
}
function named(name) {
  const problem = nameProblem(name);
  if (problem !== void 0) throw new RuleProblem(`names ${JSON.stringify(name)}, which ${problem}`);
  return name;
}

// packages/kernel/src/nftables/print.ts
function printTable(table3) {
  const sets = [...table3.sets.values()].map(({ set: set2, elements: elements2 }) => indent(printSet(set2, elements2)));
  const chains = [...table3.chains.values()].map((chain2) => indent(printChain(chain2, table3.family)));
  return `table ${table3.family} ${table3.name} {
${[...sets, ...chains].join("\n")}}
`;
}
function printSet(set2, elements2 = []) {
  const lines = [`${set2.data === void 0 ? "set" : "map"} ${set2.name} {`, ...definitionLines(set2).map((line) => `	${line}`)];
  if (elements2.length > 0) lines.push("	elements = {", ...elements2.map((element2) => `		${printElement(set2, element2)},`), "	}");
  return `${[...lines, "}"].join("\n")}
`;
}
function definitionLines(set2) {
  const type4 = set2.data === void 0 ? set2.key.join(" . ") : `${set2.key.join(" . ")} : ${set2.data}`;
  const limit = set2.limit === void 0 ? [] : [printLimit({ is: "limit", ...set2.limit, over: true })];
  return [
    `type ${type4}`,
    ...set2.interval ? ["flags interval"] : [],
    ...limit,
    ...set2.comment === void 0 ? [] : [`comment ${quoted(commentText(set2.comment))}`]
  ];
}
var printDefinition = (set2) => definitionLines(set2).join("; ");
function printElement(set2, element2) {
  const key = printKey(set2, element2.key);
  const range = element2.keyEnd === void 0 ? key : `${key}-${printKey(set2, element2.keyEnd)}`;
  if (element2.verdict !== void 0) return `${range} : ${printVerdict(element2.verdict)}`;
  if (element2.data !== void 0 && set2.data !== void 0 && set2.data !== "verdict") return `${range} : ${printValue(set2.data, element2.data)}`;
  return range;
}
function printKey(set2, key) {
  let at = 0;
  const parts = set2.key.map((type4) => {
    const from = at;
    at += widthOf(type4);
    return printValue(type4, key.subarray(from, at));
  });
  return parts.join(" . ");
}
function printChain(chain2, family = "inet") {
  const hook = chain2.hook === void 0 ? [] : [`	${printHook(chain2.hook)}`];
  return `${[`chain ${chain2.name} {`, ...hook, ...chain2.rules.map((rule3) => `	${printRule(rule3, family)}`), "}"].join("\n")}
`;
}
function printHook({ type: type4, hook, device, priority, policy }) {
  return `type ${type4} hook ${hook}${device === void 0 ? "" : ` device ${quoted(device)}`} priority ${priority}; policy ${policy};`;
}
function printRule(rule3, family = "inet") {
  const comment = rule3.comment === void 0 ? [] : [`comment ${quoted(commentText(rule3.comment))}`];
  return [...rule3.statements.map((statement) => printStatement(statement, family)), ...comment].join(" ");
}
var printVerdict = (verdict2) => "chain" in verdict2 ? `${verdict2.verdict} ${verdict2.chain}` : verdict2.verdict;
function printStatement(statement, family = "inet") {
  switch (statement.is) {
    case "match":
      return `${fieldText(statement.field)} ${equals(statement.field, statement.negate)}${fieldValue(statement.field, statement.value)}`;
    case "masked":
      return printMasked(statement);
    case "range":
      return `${fieldText(statement.field)} ${not(statement.negate)}${fieldValue(statement.field, statement.first)}-${fieldValue(statement.field, statement.last)}`;
    case "in-set":
      return `${fieldsText(statement.fields)} ${not(statement.negate)}@${statement.set}`;
    case "verdict-map": {
      const fields2 = fieldsText(statement.fields);
      return statement.via === void 0 ? `${fields2} vmap @${statement.map}` : `meta mark set ${fields2} map @${statement.via} meta mark set meta mark meta mark vmap @${statement.map}`;
    }
    case "counter":
      return "counter";
    case "log":
      return `log prefix ${quoted(logPrefixText(statement.prefix))}`;
    case "limit":
      return printLimit(statement);
    case "connections-over":
      return `ct count over ${statement.count}`;
    case "set-mark":
      return printSetMark(statement.of === "packet" ? "meta mark" : "ct mark", statement.and >>> 0, statement.xor >>> 0);
    case "notrack":
      return "notrack";
    case "nat": {
      const address = printValue(statement.family === 4 ? "ipv4_addr" : "ipv6_addr", statement.address);
      const port2 = printPorts(statement);
      return `${natVerb(statement, family)} ${statement.family === 6 && port2 !== "" ? `[${address}]` : address}${port2}`;
    }
    case "nat-map":
      return `${natVerb(statement, family)} ${fieldsText(statement.fields)} map @${statement.map}`;
    case "masquerade":
      return statement.port === void 0 ? "masquerade" : `masquerade to ${printPorts(statement)}`;
    case "reject":
      return printReject(statement.with, family);
    case "verdict":
      return printVerdict(statement);
    default:
      return unreachable(statement);
  }
}
var fewElements = 3;
function printOperation(family, table3, operation2) {
  const within = `${family} ${table3}`;
  switch (operation2.verb) {
    case "add table":
    case "delete table":
      return `${operation2.verb} ${within}`;
    case "flush chain":
    case "delete chain":
      return `${operation2.verb} ${within} ${operation2.chain}`;
    case "add chain":
      return `${operation2.verb} ${within} ${operation2.chain.name}${operation2.chain.hook === void 0 ? "" : ` { ${printHook(operation2.chain.hook)} }`}`;
    case "delete set":
      return `${operation2.verb} ${within} ${operation2.set}`;
    case "add set":
      return `${operation2.verb} ${within} ${operation2.set.name} { ${printDefinition(operation2.set)}; }`;
    case "delete object":
      return `${operation2.verb} ${within} ${operation2.object}`;
    case "add rules":
      return operation2.chain.rules.map((rule3) => `add rule ${within} ${operation2.chain.name} ${printRule(rule3, family)}`).join("; ");
    case "add elements":
    case "delete elements": {
      const some = operation2.elements.slice(0, fewElements).map((element2) => printElement(operation2.set, element2));
      const more = operation2.elements.length > fewElements ? [`\u2026 (${operation2.elements.length})`] : [];
      return `${operation2.verb === "add elements" ? "add" : "delete"} element ${within} ${operation2.set.name} { ${[...some, ...more].join(", ")} }`;
    }
    default:
      return unreachable(operation2);
  }
}
var not = (negate) => negate ? "!= " : "";
var equals = (field, negate) => negate ? "!= " : field === "ct state" || field === "ct status" ? "== " : "";
var indent = (text2) => text2.split("\n").map((line) => line === "" ? line : `	${line}`).join("\n");
var fieldText = (field) => fieldFacts(field).text ?? field;
var fieldsText = (fields2) => fields2.map(fieldText).join(" . ");
function fieldValue(field, value) {
  const { type: type4, text: text2 } = fieldFacts(field);
  if (text2 !== void 0) return `0x${Buffer.from(value).toString("hex")}`;
  return type4 === void 0 ? String(networkNumber(value)) : printValue(type4, value);
}
function printMasked({ field, mask, value, negate }) {
  const { type: type4 } = fieldFacts(field);
  const bits = prefixLength(mask);
  if (type4 === "ifname") {
    const length = wholeBytes(mask);
    if (length !== void 0 && length > 0) return `${field} ${not(negate)}${quoted(`${new TextDecoder().decode(value.subarray(0, length))}*`)}`;
  }
  if ((type4 === "ipv4_addr" || type4 === "ipv6_addr") && bits !== void 0 && fieldFacts(field).text === void 0) {
    return `${field} ${not(negate)}${printValue(type4, value)}/${bits}`;
  }
  const nothing3 = value.every((byte2) => byte2 === 0);
  if ((type4 === "ct_state" || type4 === "ct_status") && nothing3 && negate) return `${field} ${printValue(type4, mask)}`;
  return `${fieldText(field)} & 0x${bigEndianHex(field, mask)} ${negate ? "!=" : "=="} 0x${bigEndianHex(field, value)}`;
}
function bigEndianHex(field, value) {
  const { type: type4 } = fieldFacts(field);
  const ordered = type4 !== void 0 && isHostOrder(type4) && hostIsLittleEndian ? value.toReversed() : value;
  return Buffer.from(ordered).toString("hex");
}
function prefixLength(mask) {
  const text2 = [...mask].map((byte2) => byte2.toString(2).padStart(8, "0")).join("");
  const end = text2.indexOf("0");
  if (end === -1) return text2.length;
  return text2.includes("1", end) ? void 0 : end;
}
function printLimit({ rate, unit, burst, over, of }) {
  const amount = of === "bytes" ? `${rate} bytes/${unit}` : `${rate}/${unit}`;
  const size = of === "bytes" ? burst > 0 ? ` burst ${burst} bytes` : "" : ` burst ${burst > 0 ? burst : 5} packets`;
  return `limit rate ${over ? "over " : ""}${amount}${size}`;
}
function printSetMark(field, and, xor) {
  const number2 = (value) => `0x${value.toString(16).padStart(8, "0")}`;
  if (and === 0) return `${field} set ${number2(xor)}`;
  return `${field} set ${field} & ${number2(and)} ^ ${number2(xor)}`;
}
function natVerb({ kind, family: version }, family) {
  return family === "inet" ? `${kind} ${version === 4 ? "ip" : "ip6"} to` : `${kind} to`;
}
function printReject(how, family) {
  if (how === "tcp-reset") return "reject with tcp reset";
  return `reject with ${family === "ip" ? "icmp" : family === "ip6" ? "icmpv6" : "icmpx"} ${how}`;
}
function printPorts({ port: port2, lastPort = port2 }) {
  if (port2 === void 0) return "";
  return lastPort === port2 ? `:${port2}` : `:${port2}-${lastPort}`;
}

// packages/kernel/src/nftables/evaluate.ts
var liesIn = (element2, key) => Buffer.compare(element2.key, key) <= 0 && Buffer.compare(key, element2.keyEnd ?? element2.key) <= 0;

// packages/kernel/src/nftables/expressions.ts
var expressions = {
  meta: { dreg: [1, "register"], key: [2, "number"], sreg: [3, "register"] },
  ct: { dreg: [1, "register"], key: [2, "number"], direction: [3, "byte"], sreg: [4, "register"] },
  payload: { dreg: [1, "register"], base: [2, "number"], offset: [3, "number"], length: [4, "number"] },
  fib: { dreg: [1, "register"], result: [2, "number"], flags: [3, "number"] },
  cmp: { sreg: [1, "register"], op: [2, "number"], data: [3, "data"] },
  bitwise: { sreg: [1, "register"], dreg: [2, "register"], length: [3, "number"], mask: [4, "data"], xor: [5, "data"], op: [6, "number", 0] },
  range: { sreg: [1, "register"], op: [2, "number"], from: [3, "data"], to: [4, "data"] },
  lookup: { set: [1, "name"], sreg: [2, "register"], dreg: [3, "register"], id: [4, "ignored"], flags: [5, "number", 0] },
  immediate: { dreg: [1, "register"], data: [2, "data"] },
  nat: {
    type: [1, "number"],
    family: [2, "number"],
    addressMin: [3, "register"],
    addressMax: [4, "register"],
    portMin: [5, "register"],
    portMax: [6, "register"],
    flags: [7, "number", 0]
  },
  masq: { flags: [1, "number", 0], portMin: [2, "register"], portMax: [3, "register"] },
  limit: { rate: [1, "wide"], unit: [2, "wide"], burst: [3, "number"], type: [4, "number", 0], flags: [5, "number", 0], pad: [6, "ignored"] },
  connlimit: { count: [1, "number"], flags: [2, "number", 0] },
  reject: { type: [1, "number"], code: [2, "byte"] },
  counter: { bytes: [1, "ignored"], packets: [2, "ignored"], pad: [3, "ignored"] },
  log: { prefix: [2, "name"], level: [
    5,
    "number",
    4
    /* warning */
  ], flags: [6, "number", 0] },
  notrack: {}
};
var byNumber = new Map(
  Object.entries(expressions).map(([name, attributes]) => [
    name,
    new Map(Object.entries(attributes).map(([attribute4, [number2, kind, unlessGiven]]) => [number2, { attribute: attribute4, kind, unlessGiven }]))
  ])
);
var listElement = 1;
var expressionName = 1;
var expressionData = 2;
var dataValue = 1;
var dataVerdict = 2;
var verdictCode = 1;
var verdictChain = 2;
function writeExpressions(writer, list) {
  for (const expression of list) writeExpression(writer, listElement, expression);
}
function writeExpression(writer, number2, { name, values }) {
  const start = writer.openNest(number2);
  writer.string(expressionName, name);
  const data = writer.openNest(expressionData);
  const attributes = expressions[name] ?? {};
  const unknown = Object.keys(values).find((attribute4) => attributes[attribute4] === void 0);
  if (unknown !== void 0) throw new RangeError(`the expression ${name} has no attribute ${unknown}`);
  for (const attribute4 in attributes) {
    const [at, kind] = attributes[attribute4];
    const value = values[attribute4];
    if (value !== void 0) writeValue(writer, at, kind, value);
  }
  writer.closeNest(data);
  writer.closeNest(start);
}
function writeValue(writer, number2, kind, value) {
  if (kind === "data") writeData(writer, number2, value);
  else if (typeof value === "bigint") writer.be64(number2, value);
  else if (typeof value === "string") writer.string(number2, value);
  else if (typeof value !== "number") throw new RangeError(`bytes where ${kind} is meant`);
  else if (kind === "byte") writer.u8(number2, value);
  else writer.be32(number2, value);
}
function writeData(writer, number2, value) {
  const start = writer.openNest(number2);
  if (value instanceof Uint8Array) {
    writer.binary(dataValue, value);
  } else if (typeof value === "object") {
    const verdict2 = writer.openNest(dataVerdict);
    writer.be32(verdictCode, value.code);
    if (value.chain !== void 0) writer.string(verdictChain, value.chain);
    writer.closeNest(verdict2);
  }
  writer.closeNest(start);
}
function readData(bytes) {
  const value = findAttribute(bytes, 0, dataValue);
  if (value !== void 0) return value;
  const verdict2 = findAttribute(bytes, 0, dataVerdict);
  return verdict2 === void 0 ? void 0 : readVerdict(verdict2);
}
function readVerdict(verdict2) {
  const code = findAttribute(verdict2, 0, verdictCode);
  const chain2 = findAttribute(verdict2, 0, verdictChain);
  if (code === void 0) return void 0;
  return { code: readBe32(code) | 0, ...chain2 === void 0 ? {} : { chain: readString(chain2) } };
}
function readExpressions(list) {
  const found = [];
  eachAttribute(list, 0, (_type, element2) => found.push(readExpression(element2)));
  return found.every((expression) => expression !== void 0) ? found : void 0;
}
function readExpression(bytes) {
  const nameBytes = findAttribute(bytes, 0, expressionName);
  const name = nameBytes === void 0 ? "" : readString(nameBytes);
  const data = findAttribute(bytes, 0, expressionData) ?? new Uint8Array();
  const known = byNumber.get(name);
  if (known === void 0) return void 0;
  const values = {};
  let understood = true;
  eachAttribute(data, 0, (number2, bytes2) => {
    const facts = known.get(number2);
    const value = facts === void 0 ? void 0 : facts.kind === "ignored" ? null : readValue(facts.kind, bytes2);
    if (facts === void 0 || value === void 0) understood = false;
    else if (value !== null && value !== facts.unlessGiven) values[facts.attribute] = value;
  });
  if (!understood) return void 0;
  return { name, values: name === "nat" ? readNat(values) : name === "masq" ? readMasquerade(values) : values };
}
function readValue(kind, bytes) {
  switch (kind) {
    case "register":
      return wordRegister(readBe32(bytes));
    case "number":
      return readBe32(bytes);
    case "wide":
      return readBe64(bytes);
    case "byte":
      return bytes[0];
    case "name":
      return readString(bytes);
    case "data":
      return readData(bytes);
    default:
      return unreachable(kind);
  }
}
var wordRegister = (register) => register >= 1 && register <= 4 ? 8 + (register - 1) * 4 : register;
function readNat(values) {
  const { addressMax, portMax, flags, ...rest } = values;
  const otherFlags = typeof flags === "number" ? flags & ~3 : 0;
  return {
    ...rest,
    ...addressMax === void 0 || addressMax === rest["addressMin"] ? {} : { addressMax },
    ...portMax === void 0 || portMax === rest["portMin"] ? {} : { portMax },
    ...otherFlags === 0 ? {} : { flags: otherFlags }
  };
}
function readMasquerade({ flags, ...values }) {
  return { ...readNat(values), ...flags === void 0 ? {} : { flags } };
}

// packages/kernel/src/nftables/protocol.ts
var subsystem = 10;
var messageType = (message2) => subsystem << 8 | message2;
var batchBegin = 16;
var batchEnd = 17;
var batchGeneration = 1;
var subsystemNumber = subsystem;
var message = {
  newTable: 0,
  getTable: 1,
  deleteTable: 2,
  newChain: 3,
  getChain: 4,
  deleteChain: 5,
  newRule: 6,
  getRule: 7,
  deleteRule: 8,
  newSet: 9,
  getSet: 10,
  deleteSet: 11,
  newElements: 12,
  getElements: 13,
  deleteElements: 14,
  newGeneration: 15,
  getGeneration: 16,
  getObject: 19,
  deleteObject: 20
};
var familyNumber = { inet: 1, ip: 2, arp: 3, netdev: 5, ip6: 10 };
var header3 = (family, resource = 0) => new Uint8Array([family, 0, resource >> 8, resource & 255]);
var headerLength2 = 4;
var table = { name: 1, flags: 2 };
var tableFlag = { dormant: 1, owner: 2, persist: 4 };
var chain = { table: 1, handle: 2, name: 3, hook: 4, policy: 5, type: 7, flags: 10 };
var chainHook = { number: 1, priority: 2, device: 3, devices: 4 };
var chainFlag = { binding: 4 };
var rule = { table: 1, chain: 2, handle: 3, expressions: 4, userData: 7 };
var set = {
  table: 1,
  name: 2,
  flags: 3,
  keyType: 4,
  keyLength: 5,
  dataType: 6,
  dataLength: 7,
  policy: 8,
  description: 9,
  id: 10,
  timeout: 11,
  userData: 13,
  objectType: 15,
  handle: 16,
  expression: 17,
  expressions: 18
};
var setFlag = { anonymous: 1, constant: 2, interval: 4, map: 8, concatenation: 128 };
var setKeyByteOrder = 0;
var setDataByteOrder = 1;
var setComment = 7;
var descriptionSize = 1;
var descriptionConcatenation = 2;
var dataTypeVerdict = 4294967040;
var elements = { table: 1, set: 2, list: 3 };
var element = { key: 1, data: 2, flags: 3, userData: 6, expression: 7, keyEnd: 10 };
var elementIntervalEnd = 1;
var listElement2 = 1;
var object = { table: 1, name: 2, type: 3 };
var generation = { id: 1, processId: 2, processName: 3 };
var policyNumber = { drop: 0, accept: 1 };
var inetHooks = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4, ingress: 5 };
var hooks = {
  inet: inetHooks,
  ip: inetHooks,
  ip6: inetHooks,
  arp: { input: 0, output: 1, forward: 2 },
  netdev: { ingress: 0 }
};
var hookNumber = (family, hook) => hooks[family][hook];
var hookName = (family, number2) => Object.entries(hooks[family]).find(([, other]) => other === number2)?.[0];

// packages/kernel/src/nftables/rules.ts
function canonicalRule(expressions2, userData) {
  const list = readExpressions(expressions2);
  return list === void 0 ? void 0 : encodeExpressions(list, userData === void 0 ? void 0 : readComment(userData, ruleComment));
}
var ruleExpressions = 4;
var ruleUserData = 7;
var ruleComment = 0;
var scratch = new MessageWriter(1024);
function encodeExpressions(expressions2, comment) {
  scratch.reset();
  scratch.nested(ruleExpressions, () => writeExpressions(scratch, expressions2));
  if (comment !== void 0) scratch.binary(ruleUserData, commentData(ruleComment, comment));
  return Buffer.from(scratch.bytes());
}
function commentData(type4, comment) {
  const text2 = Buffer.from(`${commentText(comment)}\0`);
  return Buffer.concat([Buffer.from([type4, text2.length]), text2]);
}
function readComment(userData, wanted) {
  for (let at = 0; at + 2 <= userData.length; ) {
    const [type4, length] = [userData[at] ?? 0, userData[at + 1] ?? 0];
    if (type4 === wanted) return new TextDecoder().decode(userData.subarray(at + 2, at + 2 + length)).replace(/\0$/, "");
    at += 2 + length;
  }
  return void 0;
}

// packages/kernel/src/nftables/encode.ts
var longestElementList = longestAttribute - 1024;
var write2 = flag.request | flag.create;
function encodeBatch(family, table3, operations, generation2, nextSequence) {
  const batch = new BatchWriter(family, table3, nextSequence);
  batch.begin(generation2);
  for (const operation2 of operations) batch.write(operation2);
  const { bytes, origins } = batch.end();
  return { bytes, describe: (refusal) => describe(bytes, origins, family, table3, refusal) };
}
var BatchWriter = class {
  #family;
  #table;
  #nextSequence;
  #writer = new MessageWriter(64 * 1024);
  #familyHeader;
  #batchHeader = header3(0, subsystemNumber);
  #origins = [];
  #setId = 0;
  #lastMessage = 0;
  constructor(family, table3, nextSequence) {
    this.#family = family;
    this.#table = table3;
    this.#nextSequence = nextSequence;
    this.#familyHeader = header3(familyNumber[family]);
  }
  begin(generation2) {
    this.#bound(batchBegin);
    if (generation2 !== void 0) this.#writer.be32(batchGeneration, generation2);
    this.#writer.end();
  }
  write(operation2) {
    switch (operation2.verb) {
      case "add table":
        this.#beginMessage(message.newTable, write2, operation2);
        this.#writer.string(table.name, this.#table);
        this.#writer.be32(table.flags, operation2.owned ? tableFlag.owner | tableFlag.persist : 0);
        this.#writer.end();
        return;
      case "delete table":
        this.#beginMessage(message.deleteTable, flag.request, operation2);
        this.#writer.string(table.name, this.#table);
        this.#writer.end();
        return;
      case "flush chain":
        this.#byName(message.deleteRule, operation2, rule.table, rule.chain, operation2.chain);
        return;
      case "delete chain":
        this.#byName(message.deleteChain, operation2, chain.table, chain.name, operation2.chain);
        return;
      case "delete set":
        this.#byName(message.deleteSet, operation2, set.table, set.name, operation2.set);
        return;
      case "delete object":
        this.#beginMessage(message.deleteObject, flag.request, operation2);
        this.#writer.string(object.table, this.#table);
        this.#writer.string(object.name, operation2.object);
        this.#writer.be32(object.type, operation2.kind);
        this.#writer.end();
        return;
      case "add set":
        this.#addSet(operation2, operation2.set);
        return;
      case "add chain":
        this.#addChain(operation2, operation2.chain);
        return;
      case "add rules":
        this.#addRules(operation2, operation2.chain, operation2.encoded);
        return;
      case "add elements":
        this.#writeElements(message.newElements, write2, operation2, operation2.set, operation2.elements);
        return;
      case "delete elements":
        this.#writeElements(message.deleteElements, flag.request, operation2, operation2.set, operation2.elements);
        return;
      default:
        unreachable(operation2);
    }
  }
  end() {
    this.#writer.addFlags(this.#lastMessage, flag.acknowledge);
    this.#bound(batchEnd);
    this.#writer.end();
    return { bytes: this.#writer.bytes(), origins: this.#origins };
  }
  #beginMessage(message2, flags, operation2, first) {
    const sequence = this.#nextSequence();
    this.#lastMessage = this.#writer.length;
    this.#origins.push({ sequence, at: this.#writer.length, operation: operation2, ...first === void 0 ? {} : { first } });
    this.#writer.begin(messageType(message2), flags, sequence);
    this.#writer.raw(this.#familyHeader);
  }
  /** The first message of the batch, or the last one. */
  #bound(type4) {
    const sequence = this.#nextSequence();
    this.#origins.push({ sequence, at: this.#writer.length });
    this.#writer.begin(type4, flag.request, sequence);
    this.#writer.raw(this.#batchHeader);
  }
  /** Writes a message that names only the table and one object in it. */
  #byName(message2, operation2, tableAttribute, nameAttribute, name) {
    this.#beginMessage(message2, flag.request, operation2);
    this.#writer.string(tableAttribute, this.#table);
    this.#writer.string(nameAttribute, name);
    this.#writer.end();
  }
  #addChain(operation2, { name, hook }) {
    const writer = this.#writer;
    this.#beginMessage(message.newChain, write2 | flag.exclusive, operation2);
    writer.string(chain.table, this.#table);
    writer.string(chain.name, name);
    if (hook !== void 0) {
      const number2 = hookNumber(this.#family, hook.hook);
      if (number2 === void 0) throw new RangeError(`there is no hook ${hook.hook} in the ${this.#family} family`);
      writer.nested(chain.hook, () => {
        writer.be32(chainHook.number, number2);
        writer.be32(chainHook.priority, hook.priority);
        if (hook.device !== void 0) writer.string(chainHook.device, hook.device);
      });
      writer.be32(chain.policy, policyNumber[hook.policy]);
      writer.string(chain.type, hook.type);
    }
    writer.end();
  }
  #addSet(operation2, set2) {
    const writer = this.#writer;
    this.#beginMessage(message.newSet, write2 | flag.exclusive, operation2);
    writer.string(set.table, this.#table);
    writer.string(set.name, set2.name);
    const definition = setDefinition(set2);
    if (definition.flags !== 0) writer.be32(set.flags, definition.flags);
    writer.be32(set.keyType, definition.keyType);
    writer.be32(set.keyLength, definition.keyLength);
    if (set2.data !== void 0) {
      writer.be32(set.dataType, definition.dataType);
      if (set2.data !== "verdict") writer.be32(set.dataLength, definition.dataLength);
    }
    writer.be32(set.id, ++this.#setId);
    writer.binary(set.userData, setUserData(set2));
    if (set2.limit !== void 0) writeExpression(writer, set.expression, limitExpression({ ...set2.limit, over: true }));
    writer.end();
  }
  #addRules(operation2, chain2, encoded) {
    encoded.forEach((rule3, at) => {
      this.#beginMessage(message.newRule, write2 | flag.append, operation2, at);
      this.#writer.string(rule.table, this.#table);
      this.#writer.string(rule.chain, chain2.name);
      this.#writer.raw(rule3);
      this.#writer.end();
    });
  }
  /** Writes elements in as many messages as they need: the length field of a list has only 16 bits. */
  #writeElements(message2, flags, operation2, set2, elements2) {
    const writer = this.#writer;
    for (let at = 0; at < elements2.length; ) {
      this.#beginMessage(message2, flags, operation2, at);
      writer.string(elements.table, this.#table);
      writer.string(elements.set, set2.name);
      const list = writer.openNest(elements.list);
      const start = writer.length;
      for (; at < elements2.length && writer.length - start < longestElementList; at++) writeElement(writer, set2, elements2[at]);
      writer.closeNest(list);
      writer.end();
    }
  }
};
function setDefinition(set2) {
  const concatenated = set2.key.length > 1;
  return {
    flags: (set2.data === void 0 ? 0 : setFlag.map) | (set2.interval ? setFlag.interval : 0),
    keyType: set2.key.reduce((id, type4) => id << 6 | typeId(type4), 0) >>> 0,
    keyLength: set2.key.reduce((length, type4) => length + (concatenated ? paddedWidth(widthOf(type4)) : widthOf(type4)), 0),
    dataType: set2.data === void 0 ? 0 : set2.data === "verdict" ? dataTypeVerdict : typeId(set2.data),
    dataLength: set2.data === void 0 || set2.data === "verdict" ? 0 : widthOf(set2.data)
  };
}
function setUserData(set2) {
  const [key] = set2.key;
  const keyOrder = key !== void 0 && set2.key.length === 1 ? byteOrder(key) : 0;
  const parts = [Buffer.from([setKeyByteOrder, 4]), hostOrder(keyOrder)];
  if (set2.data !== void 0) parts.push(Buffer.from([setDataByteOrder, 4]), hostOrder(set2.data === "verdict" ? 0 : byteOrder(set2.data)));
  if (set2.comment !== void 0) parts.push(commentData(setComment, set2.comment));
  return Buffer.concat(parts);
}
var byteOrder = (type4) => type4 === "ifname" || isHostOrder(type4) ? 1 : 2;
var paddedWidth = (width) => width + 3 & ~3;
function paddedKey(set2, key) {
  if (set2.key.length === 1) return key;
  const padded = new Uint8Array(set2.key.reduce((length, type4) => length + paddedWidth(widthOf(type4)), 0));
  let from = 0;
  let to = 0;
  for (const type4 of set2.key) {
    const width = widthOf(type4);
    padded.set(key.subarray(from, from + width), to);
    from += width;
    to += paddedWidth(width);
  }
  return padded;
}
function writeElement(writer, set2, element2) {
  const start = writer.openNest(listElement2);
  writeData(writer, element.key, paddedKey(set2, element2.key));
  if (element2.verdict !== void 0) writeData(writer, element.data, verdictData(element2.verdict));
  else if (element2.data !== void 0) writeData(writer, element.data, element2.data);
  writer.closeNest(start);
  const end = set2.interval ? firstKeyAfter(element2) : void 0;
  if (end === void 0) return;
  const endStart = writer.openNest(listElement2);
  writeData(writer, element.key, end);
  writer.be32(element.flags, elementIntervalEnd);
  writer.closeNest(endStart);
}
function firstKeyAfter(element2) {
  const key = Uint8Array.from(element2.keyEnd ?? element2.key);
  for (let at = key.length - 1; at >= 0; at--) {
    const byte2 = key[at] ?? 0;
    key[at] = byte2 + 1 & 255;
    if (byte2 !== 255) return key;
  }
  return void 0;
}
function describe(bytes, origins, family, table3, refusal) {
  const origin = origins.find(({ sequence }) => sequence === refusal.sequence);
  const object2 = origin === void 0 ? `table ${family} ${table3}` : describeOrigin(bytes, origin, family, table3, refusal.offset);
  return { code: refusal.code, object: object2, ...refusal.detail === void 0 ? {} : { detail: refusal.detail } };
}
function describeOrigin(bytes, { operation: operation2, at, first = 0 }, family, table3, offset) {
  if (operation2 === void 0) return `table ${family} ${table3}`;
  if (operation2.verb === "add rules") {
    return printOperation(family, table3, { ...operation2, chain: { ...operation2.chain, rules: operation2.chain.rules.slice(first, first + 1) } });
  }
  if (operation2.verb !== "add elements" && operation2.verb !== "delete elements") return printOperation(family, table3, operation2);
  const element2 = offset === void 0 ? void 0 : elementAt(bytes, at, first, offset, operation2.set, operation2.elements);
  return printOperation(family, table3, { ...operation2, elements: element2 === void 0 ? operation2.elements.slice(first) : [element2] });
}
function elementAt(bytes, at, first, offset, set2, elements2) {
  const place = at + offset;
  let listed = -1;
  eachAttribute(bytes, at + headerLength + headerLength2, (type4, list) => {
    if (type4 !== elements.list || listed >= 0) return;
    let count = 0;
    eachAttribute(list, 0, (_type, value) => {
      if (place >= value.byteOffset - bytes.byteOffset - 4 && place < value.byteOffset - bytes.byteOffset + value.length) listed = count;
      count++;
    });
  });
  for (let index = first; index < elements2.length && listed >= 0; index++) {
    const element2 = elements2[index];
    listed -= set2.interval && firstKeyAfter(element2) !== void 0 ? 2 : 1;
    if (listed < 0) return element2;
  }
  return void 0;
}

// packages/kernel/src/nftables/decode.ts
var nothing2 = new Uint8Array();
var number = (attributes, type4) => {
  const value = attributes.get(type4);
  return value === void 0 ? 0 : readBe32(value);
};
var text = (attributes, type4) => readString(attributes.get(type4) ?? nothing2);
var messageAttributes = (payload2) => readAttributes(payload2, headerLength2);
var decodeGeneration = (payload2) => number(messageAttributes(payload2), generation.id);
var decodeTable = (payload2) => (number(messageAttributes(payload2), table.flags) & tableFlag.dormant) === 0;
function decodeChain(family, table3, payload2) {
  const attributes = messageAttributes(payload2);
  if (text(attributes, chain.table) !== table3) return void 0;
  if ((number(attributes, chain.flags) & chainFlag.binding) !== 0) return void 0;
  return { name: text(attributes, chain.name), hook: decodeHook(family, attributes) };
}
function decodeHook(family, attributes) {
  const bytes = attributes.get(chain.hook);
  if (bytes === void 0) return "";
  const hook = readAttributes(bytes);
  const name = hookName(family, number(hook, chainHook.number));
  const type4 = text(attributes, chain.type);
  if (name === void 0 || type4 !== "filter" && type4 !== "nat" && type4 !== "route") return "unknown";
  const devices = decodeDevices(hook);
  if (devices.length > 1) return "unknown";
  return printHook({
    type: type4,
    hook: name,
    ...devices[0] === void 0 ? {} : { device: devices[0] },
    priority: number(hook, chainHook.priority) | 0,
    policy: number(attributes, chain.policy) === policyNumber.drop ? "drop" : "accept"
  });
}
function decodeDevices(hook) {
  const devices = [];
  eachAttribute(hook.get(chainHook.devices) ?? nothing2, 0, (_type, name) => devices.push(readString(name)));
  if (devices.length === 0 && hook.has(chainHook.device)) devices.push(text(hook, chainHook.device));
  return devices;
}
function decodeRule(payload2) {
  const attributes = messageAttributes(payload2);
  return { chain: text(attributes, rule.chain), rule: canonicalRule(attributes.get(rule.expressions) ?? nothing2, attributes.get(rule.userData)) };
}
function decodeSet(payload2) {
  const attributes = messageAttributes(payload2);
  const flags = number(attributes, set.flags);
  if ((flags & setFlag.anonymous) !== 0) return void 0;
  const name = text(attributes, set.name);
  const key = decodeTypes(number(attributes, set.keyType));
  const hasData = (flags & setFlag.map) !== 0;
  const data = hasData ? decodeDataType(number(attributes, set.dataType)) : void 0;
  if (key === void 0 || hasData && data === void 0) return { name, set: void 0 };
  const comment = readComment(attributes.get(set.userData) ?? nothing2, setComment);
  const expression = attributes.get(set.expression);
  const limit = expression && readLimit(expression);
  if (expression !== void 0 && limit === void 0) return { name, set: void 0 };
  const set2 = {
    name,
    key,
    ...data === void 0 ? {} : { data },
    ...(flags & setFlag.interval) === 0 ? {} : { interval: true },
    ...limit === void 0 ? {} : { limit },
    ...comment === void 0 ? {} : { comment }
  };
  return { name, set: isPlain(attributes, set2) ? set2 : void 0 };
}
function isPlain(attributes, set2) {
  const definition = setDefinition(set2);
  const others = [set.policy, set.timeout, set.objectType, set.expressions].some((attribute4) => attributes.has(attribute4));
  const description = readAttributes(attributes.get(set.description) ?? nothing2);
  const sized = description.has(descriptionSize) || set2.interval && description.has(descriptionConcatenation);
  const lengths = number(attributes, set.keyLength) === definition.keyLength && (set2.data === "verdict" || number(attributes, set.dataLength) === definition.dataLength);
  return number(attributes, set.flags) === definition.flags && lengths && !others && !sized;
}
function readLimit(bytes) {
  const expression = readExpression(bytes);
  return expression && readElementLimit(expression);
}
function hasItsLimit({ limit }, expression) {
  const own = expression && readLimit(expression);
  if (limit === void 0 || own === void 0) return limit === void 0 && expression === void 0;
  return own.rate === limit.rate && own.unit === limit.unit && own.burst === limit.burst;
}
var typesById = new Map(dataTypes.map((type4) => [typeId(type4), type4]));
function decodeTypes(id) {
  const types2 = [];
  for (let rest = id; rest !== 0; rest >>>= 6) {
    const type4 = typesById.get(rest & 63);
    if (type4 === void 0) return void 0;
    types2.unshift(type4);
  }
  return types2.length === 0 ? void 0 : types2;
}
var decodeDataType = (id) => id === dataTypeVerdict ? "verdict" : typesById.get(id);
function decodeElements(set2, payload2) {
  const found = [];
  eachAttribute(payload2, headerLength2, (type4, list) => {
    if (type4 === elements.list) eachAttribute(list, 0, (_type, bytes) => found.push(decodeElement(set2, bytes)));
  });
  return found;
}
function decodeElement(set2, bytes) {
  let key = nothing2;
  let data;
  let flags = 0;
  let strange = false;
  let expression;
  eachAttribute(bytes, 0, (type4, value) => {
    if (type4 === element.key) key = plainKey(set2, value);
    else if (type4 === element.data) data = readData(value);
    else if (type4 === element.flags) flags = readBe32(value);
    else if (type4 === element.expression) expression = value;
    else if (type4 !== element.userData) strange = true;
  });
  const verdict2 = data === void 0 || data instanceof Uint8Array ? void 0 : readVerdictData(data);
  return {
    element: { key, ...data instanceof Uint8Array ? { data } : {}, ...verdict2 === void 0 ? {} : { verdict: verdict2 } },
    isEnd: (flags & elementIntervalEnd) !== 0,
    strange: strange || !hasItsLimit(set2, expression) || (flags & ~elementIntervalEnd) !== 0
  };
}
function plainKey(set2, attribute4) {
  const padded = readData(attribute4);
  if (!(padded instanceof Uint8Array)) return nothing2;
  if (set2.key.length === 1) return padded;
  let at = 0;
  const parts = set2.key.map((type4) => {
    const from = at;
    at += widthOf(type4) + 3 & ~3;
    return padded.subarray(from, from + widthOf(type4));
  });
  return Buffer.concat(parts);
}
function assembleElements(set2, raw) {
  const plain2 = raw.map(({ element: element2, strange }) => strange ? { key: element2.key, data: nothing2 } : element2);
  if (!set2.interval) return plain2;
  const order2 = raw.map((_, at) => at).sort((one, other) => compareRaw(raw[one], raw[other]));
  const ranges = [];
  order2.forEach((at, place) => {
    if (raw[at]?.isEnd) return;
    const next = raw[order2[place + 1] ?? -1];
    const start = plain2[at];
    const keyEnd = next === void 0 ? new Uint8Array(start.key.length).fill(255) : keyBefore(next.element.key);
    ranges.push(Buffer.compare(keyEnd, start.key) === 0 ? start : { ...start, keyEnd });
  });
  return ranges;
}
function compareRaw(one, other) {
  return Buffer.compare(one.element.key, other.element.key) || Number(other.isEnd) - Number(one.isEnd);
}
function keyBefore(end) {
  const key = Uint8Array.from(end);
  for (let at = key.length - 1; at >= 0; at--) {
    const byte2 = key[at] ?? 0;
    key[at] = byte2 - 1 & 255;
    if (byte2 !== 0) break;
  }
  return key;
}
var decodeObject = (payload2) => {
  const attributes = messageAttributes(payload2);
  return { table: text(attributes, object.table), name: text(attributes, object.name), kind: number(attributes, object.type) };
};

// packages/kernel/src/nftables/other-chains.ts
var families = /* @__PURE__ */ new Map([
  [familyNumber.inet, "inet"],
  [familyNumber.ip, "ip"],
  [familyNumber.ip6, "ip6"]
]);

// packages/kernel/src/nftables/table.ts
var NftablesError = class extends CodedError {
  /** The refusals in the order of the transaction; the first is the cause. */
  refusals;
  constructor(message2, refusals) {
    super(refusals[0].code, message2);
    this.refusals = refusals;
  }
};

// packages/kernel/src/nftables/limits.ts
var mostExpressions = 128;
var bytesBeyond = 1 << 12;
var expressionBytes = {
  bitwise: 72,
  lookup: 64,
  limit: 64,
  cmp: 56,
  range: 56,
  immediate: 40,
  log: 40,
  payload: 24,
  meta: 24,
  ct: 24,
  fib: 24,
  counter: 24,
  notrack: 16
};
var otherBytes = 32;
function sizeProblem(expressions2) {
  if (expressions2.length > mostExpressions) return `needs ${expressions2.length} of the kernel's expressions, and a rule may have at most ${mostExpressions}`;
  const bytes = expressions2.reduce((sum, { name }) => sum + (expressionBytes[name] ?? otherBytes), 0);
  return bytes < bytesBeyond ? void 0 : `needs ${bytes} bytes of the kernel's expressions, and a rule must have fewer than ${bytesBeyond}`;
}

// packages/kernel/src/nftables/validate.ts
var longestKeyBytes = 64;
var longestDataBytes = 64;
function invalid(object2, detail) {
  return new NftablesError(`${object2} ${detail}`, [{ code: "INVALID", object: object2, detail }]);
}
function checkedRules(family, chain2) {
  const object2 = `chain ${chain2.name}`;
  checkName(object2, chain2.name);
  if (chain2.hook !== void 0) {
    const { hook, device } = chain2.hook;
    if (hookNumber(family, hook) === void 0) throw invalid(object2, `wants the hook ${hook}, which the ${family} family does not have`);
    if (hook === "ingress" !== (device !== void 0)) throw invalid(object2, "needs a device with the hook ingress, and with no other");
  }
  return chain2.rules.map((rule3, at) => {
    try {
      const expressions2 = compileRule(family, rule3.statements);
      const problem = sizeProblem(expressions2);
      if (problem !== void 0) throw new RuleProblem(problem);
      return encodeExpressions(expressions2, rule3.comment);
    } catch (error) {
      if (!(error instanceof RuleProblem || error instanceof RangeError)) throw error;
      throw invalid(object2, `has a rule (the ${at + 1}. of ${chain2.rules.length}) that ${error.message}`);
    }
  });
}
function checkSet(set2) {
  const object2 = `set ${set2.name}`;
  checkName(object2, set2.name);
  if (set2.key.length === 0) throw invalid(object2, "has no key");
  const width = set2.key.reduce((sum, type4) => sum + (widthOf(type4) + 3 & ~3), 0);
  if (width > longestKeyBytes || set2.key.length > 5)
    throw invalid(object2, `has a key of ${set2.key.length} parts and ${width} bytes: 5 and ${longestKeyBytes} at most`);
  if (set2.data !== void 0 && set2.data !== "verdict" && widthOf(set2.data) > longestDataBytes) throw invalid(object2, "has data that no register holds");
  if (set2.interval && set2.key.length > 1) throw invalid(object2, "is to hold ranges of a concatenation, which this driver does not write");
  if (set2.interval && set2.key.some(isHostOrder))
    throw invalid(object2, "is to hold ranges of numbers in host order, which the kernel does not compare as numbers");
  checkLimit(set2);
}
function checkLimit({ name, data, interval, limit }) {
  if (limit === void 0) return;
  if (data !== void 0 || interval) throw invalid(`set ${name}`, "is to have a limit for each element, which only a set of single keys can have");
  const { rate, burst } = limit;
  const isCount = (number2) => Number.isInteger(number2) && number2 > 0 && number2 < 2 ** 32;
  if (!isCount(rate) || !isCount(burst))
    throw invalid(`set ${name}`, `is to have a limit of ${rate} with a burst of ${burst}: both must be whole and at least 1`);
}
function checkElement(set2, element2) {
  const width = set2.key.reduce((sum, type4) => sum + widthOf(type4), 0);
  if (element2.key.length !== width || element2.keyEnd !== void 0 && element2.keyEnd.length !== width) {
    throw invalid(`set ${set2.name}`, `is given a key of ${element2.key.length} bytes where its type has ${width}`);
  }
  if (element2.keyEnd !== void 0 && !set2.interval) throw complaint(set2, element2, "is a range, and the set holds none");
  if (element2.keyEnd !== void 0 && Buffer.compare(element2.key, element2.keyEnd) > 0) throw complaint(set2, element2, "ends before it starts");
  if (element2.verdict !== void 0 !== (set2.data === "verdict")) throw complaint(set2, element2, "must have a verdict just when the map holds verdicts");
  const dataWidth = set2.data === void 0 || set2.data === "verdict" ? void 0 : widthOf(set2.data);
  if (element2.data?.length !== dataWidth)
    throw complaint(set2, element2, `has ${element2.data?.length ?? "no"} bytes of data where the set holds ${dataWidth ?? "none"}`);
  if (element2.verdict !== void 0 && "chain" in element2.verdict) checkName(`set ${set2.name}`, element2.verdict.chain);
}
var complaint = (set2, element2, detail) => invalid(`element ${set2.name} { ${printElement(set2, element2)} }`, detail);
function checkName(object2, name) {
  const problem = nameProblem(name);
  if (problem !== void 0) throw invalid(JSON.stringify(object2), problem);
}
function checkLookups(chain2, setOf2) {
  for (const rule3 of chain2.rules)
    for (const statement of rule3.statements) for (const lookup of lookupsOf(statement)) check(chain2.name, lookup, setOf2(lookup.set));
}
function lookupsOf(statement) {
  switch (statement.is) {
    case "in-set":
      return [{ set: statement.set, key: typesOf(statement.fields), data: void 0, negate: statement.negate }];
    case "verdict-map":
      if (statement.via === void 0) return [{ set: statement.map, key: typesOf(statement.fields), data: "verdict" }];
      return [
        { set: statement.via, key: typesOf(statement.fields), data: "mark" },
        { set: statement.map, key: ["mark"], data: "verdict" }
      ];
    case "nat-map":
      return [{ set: statement.map, key: typesOf(statement.fields), data: statement.family === 4 ? "ipv4_addr" : "ipv6_addr" }];
    case "match":
    case "masked":
    case "range":
    case "counter":
    case "log":
    case "limit":
    case "connections-over":
    case "set-mark":
    case "notrack":
    case "nat":
    case "masquerade":
    case "reject":
    case "verdict":
      return [];
    default:
      return unreachable(statement);
  }
}
var typesOf = (fields2) => fields2.map((field) => fieldFacts(field).type ?? "a plain number");
function check(chain2, { set: name, key, data, negate }, set2) {
  if (set2 === void 0) return;
  if (negate && set2.limit !== void 0) throw invalid(`chain ${chain2}`, `asks what is not in ${name}, whose elements are there only beyond their limits`);
  if (key.join(" . ") !== set2.key.join(" . ")) {
    throw invalid(`chain ${chain2}`, `looks for ${key.join(" . ")} in the set ${name}, which holds ${set2.key.join(" . ")}`);
  }
  if (set2.data !== data) throw invalid(`chain ${chain2}`, `takes ${data ?? "nothing"} out of ${name}, which holds ${set2.data ?? "nothing"} for its keys`);
}

// packages/kernel/src/nftables/difference.ts
var hookText = (chain2) => chain2.hook === void 0 ? "" : printHook(chain2.hook);
var definitionText = (set2) => printDefinition(set2);
function difference(of) {
  const { wantedChains, wantedSets, heldChains, heldSets, chains, sets } = of;
  const isHooked = () => [...heldChains.values()].some(({ hook }) => hook !== "");
  const rehooked = [...chains].some((name) => {
    const [wanted, held2] = [wantedChains.get(name), heldChains.get(name)];
    return wanted !== void 0 && wanted.hook !== (held2?.hook ?? "") && (held2 !== void 0 || !isHooked());
  });
  const change = [];
  const stages = of.together || rehooked ? { come: change, change, go: change } : { come: [], change, go: [] };
  const remade = new Set([...sets].filter((name) => isRemade(wantedSets.get(name), heldSets.get(name))));
  const early = earlyChains(of, remade);
  changeChains(of, remade, early, stages);
  changeSets(of, remade, (chain2) => heldChains.has(chain2) || early.has(chain2), stages);
  stages.go.push(...of.leftovers);
  return [.../* @__PURE__ */ new Set([stages.come, change, stages.go])].filter((operations) => operations.length > 0).map(inOrder);
}
function earlyChains({ wantedChains, heldChains, chains }, remade) {
  const early = new Map(
    [...chains].flatMap((name) => {
      const wanted = wantedChains.get(name);
      return wanted === void 0 || wanted.hook !== "" || heldChains.has(name) ? [] : [[name, wanted.chain]];
    })
  );
  const late = /* @__PURE__ */ new Set();
  let found = remade.size > 0;
  while (found) {
    found = false;
    for (const [name, chain2] of early) {
      if (!usesAny(chain2, remade) && !leadsToAny(chain2, late)) continue;
      early.delete(name);
      late.add(name);
      found = true;
    }
  }
  return new Set(early.keys());
}
function changeChains({ wantedChains, heldChains, chains }, remade, early, { come, change, go }) {
  const filled = /* @__PURE__ */ new Set();
  function fill(stage, { chain: chain2, encoded }) {
    filled.add(chain2.name);
    if (encoded.length > 0) stage.push({ verb: "add rules", chain: chain2, encoded });
  }
  function flush(stage, name, { rules }) {
    if (rules.length > 0) stage.push({ verb: "flush chain", chain: name });
  }
  for (const name of chains) {
    const [wanted, held2] = [wantedChains.get(name), heldChains.get(name)];
    if (wanted !== void 0 && held2 !== void 0 && wanted.hook === held2.hook) {
      if (sameRules(held2.rules, wanted.encoded)) continue;
      flush(change, name, held2);
      fill(change, wanted);
      continue;
    }
    if (held2 !== void 0) {
      const stage = wanted === void 0 && held2.hook === "" ? go : change;
      flush(remade.size > 0 ? change : stage, name, held2);
      stage.push({ verb: "delete chain", chain: name });
    }
    if (wanted !== void 0) {
      const stage = early.has(name) ? come : change;
      stage.push({ verb: "add chain", chain: wanted.chain });
      fill(stage, wanted);
    }
  }
  if (remade.size === 0) return;
  for (const [name, wanted] of wantedChains) {
    if (!usesAny(wanted.chain, remade) || filled.has(name)) continue;
    change.push({ verb: "flush chain", chain: name });
    fill(change, wanted);
  }
}
function changeSets({ wantedSets, heldSets, sets }, remade, isThereEarly, { come, change, go }) {
  function elements2(verb, stage, set2, list) {
    if (list.length > 0) stage.push({ verb, set: set2, elements: list });
  }
  function addEarly(set2, list) {
    const canCome = ({ verdict: verdict2 }) => verdict2 === void 0 || !("chain" in verdict2) || isThereEarly(verdict2.chain);
    const late = set2.data === "verdict" ? list.filter((element2) => !canCome(element2)) : [];
    elements2("add elements", come, set2, late.length === 0 ? list : list.filter(canCome));
    elements2("add elements", change, set2, late);
  }
  for (const name of sets) {
    const [wanted, held2] = [wantedSets.get(name), heldSets.get(name)];
    if (wanted === void 0) {
      if (held2 !== void 0) go.push({ verb: "delete set", set: name });
    } else if (held2 === void 0) {
      come.push({ verb: "add set", set: wanted.set });
      addEarly(wanted.set, [...wanted.elements.values()]);
    } else if (remade.has(name)) {
      change.push({ verb: "delete set", set: name }, { verb: "add set", set: wanted.set });
      elements2("add elements", change, wanted.set, [...wanted.elements.values()]);
    } else {
      const { gone, fresh, before, after } = elementDifference(wanted, held2);
      const byNumber2 = isByNumber(wanted.set);
      elements2("delete elements", change, wanted.set, byNumber2 ? before : [...before, ...gone]);
      elements2("delete elements", go, wanted.set, byNumber2 ? gone : []);
      if (byNumber2) addEarly(wanted.set, fresh);
      elements2("add elements", change, wanted.set, byNumber2 ? after : [...after, ...fresh]);
    }
  }
}
var isRemade = (wanted, held2) => wanted !== void 0 && held2 !== void 0 && wanted.definition !== held2.definition;
var isByNumber = ({ key, data }) => data === "verdict" && key.length === 1 && key[0] === "mark";
function elementDifference(wanted, held2) {
  const [gone, fresh, before, after] = [[], [], [], []];
  const compare2 = (id) => {
    const [have, want] = [held2.elements.get(id), wanted.elements.get(id)];
    if (have !== void 0 && want !== void 0) {
      if (sameElement(have, want)) return;
      before.push(have);
      after.push(want);
    } else if (have !== void 0) gone.push(have);
    else if (want !== void 0) fresh.push(want);
  };
  if (wanted.changed !== "all") {
    for (const id of wanted.changed) compare2(id);
  } else {
    for (const id of held2.elements.keys()) compare2(id);
    for (const id of wanted.elements.keys()) if (!held2.elements.has(id)) compare2(id);
  }
  return { gone, fresh, before, after };
}
var usesAny = (chain2, sets) => chain2.rules.some((rule3) => rule3.statements.some((statement) => lookupsOf(statement).some(({ set: set2 }) => sets.has(set2))));
var leadsToAny = (chain2, chains) => chain2.rules.some((rule3) => rule3.statements.some((statement) => statement.is === "verdict" && "chain" in statement && chains.has(statement.chain)));

// packages/kernel/src/nftables/held-table.ts
var HeldTable = class {
  #chains = /* @__PURE__ */ new Map();
  #sets = /* @__PURE__ */ new Map();
  get chains() {
    return this.#chains;
  }
  get sets() {
    return this.#sets;
  }
  /** Replaces everything by a reading. */
  replace({ chains, sets }) {
    this.#chains = new Map(chains);
    this.#sets = new Map([...sets].map(([name, { definition, elements: elements2 }]) => [name, { definition, elements: heldElements(elements2) }]));
  }
  /** Records that the changed part of the desired table was committed. */
  advance({ chains, sets, changedChains, changedSets }) {
    for (const name of changedChains) {
      const wanted = chains.get(name);
      if (wanted === void 0) this.#chains.delete(name);
      else this.#chains.set(name, { hook: wanted.hook, rules: wanted.encoded });
    }
    for (const name of changedSets) {
      const wanted = sets.get(name);
      const held2 = this.#sets.get(name);
      if (wanted === void 0) this.#sets.delete(name);
      else if (wanted.changed === "all" || held2 === void 0) this.#sets.set(name, { definition: wanted.definition, elements: new Map(wanted.elements) });
      else for (const id of wanted.changed) advanceElement(held2, id, wanted.elements.get(id));
    }
  }
};
function heldElements(elements2) {
  const held2 = /* @__PURE__ */ new Map();
  for (const [id, element2] of elements2) held2.set(id, heldElement(id, element2));
  return held2;
}
function advanceElement({ elements: elements2 }, id, wanted) {
  if (wanted === void 0) elements2.delete(id);
  else elements2.set(id, wanted);
}

// packages/kernel/src/nftables/wanted-table.ts
var WantedTable = class {
  #family;
  #name;
  chains = /* @__PURE__ */ new Map();
  sets = /* @__PURE__ */ new Map();
  /** Names of chains and sets that may differ from what the kernel holds. */
  changedChains = /* @__PURE__ */ new Set();
  changedSets = /* @__PURE__ */ new Set();
  constructor(family, name) {
    this.#family = family;
    this.#name = name;
  }
  setChain(chain2) {
    const encoded = checkedRules(this.#family, chain2);
    this.chains.set(chain2.name, { chain: chain2, hook: hookText(chain2), encoded });
    this.changedChains.add(chain2.name);
  }
  removeChain(name) {
    if (this.chains.delete(name)) this.changedChains.add(name);
  }
  setSet(set2, elements2) {
    checkSet(set2);
    const wanted = /* @__PURE__ */ new Map();
    for (const element2 of elements2) {
      checkElement(set2, element2);
      const id = elementId(element2);
      wanted.set(id, heldElement(id, element2));
    }
    this.sets.set(set2.name, { set: set2, definition: definitionText(set2), elements: wanted, changed: "all" });
    this.changedSets.add(set2.name);
  }
  removeSet(name) {
    if (this.sets.delete(name)) this.changedSets.add(name);
  }
  addElements(name, elements2) {
    const wanted = this.#setNamed(name);
    for (const element2 of elements2) {
      checkElement(wanted.set, element2);
      const id = elementId(element2);
      const had = wanted.elements.get(id);
      if (had !== void 0 && sameElement(had, element2)) continue;
      wanted.elements.set(id, heldElement(id, element2));
      this.#note(wanted, id);
    }
  }
  removeElements(name, elements2) {
    const wanted = this.#setNamed(name);
    for (const element2 of elements2) {
      checkElementKey(wanted.set, element2);
      const id = elementId(element2);
      if (wanted.elements.delete(id)) this.#note(wanted, id);
    }
  }
  get hasChanged() {
    return this.changedChains.size > 0 || this.changedSets.size > 0;
  }
  /** Marks everything as possibly different: all desired objects, and the chains and sets with these names that the kernel has. */
  noteAll(chains, sets) {
    for (const chain2 of [...chains, ...this.chains.keys()]) this.changedChains.add(chain2);
    for (const set2 of [...sets, ...this.sets.keys()]) this.changedSets.add(set2);
    for (const wanted of this.sets.values()) wanted.changed = "all";
  }
  /** Marks everything as the same: the kernel holds what is desired. */
  noteNone() {
    for (const name of this.changedSets) {
      const wanted = this.sets.get(name);
      if (wanted) wanted.changed = /* @__PURE__ */ new Set();
    }
    this.changedChains.clear();
    this.changedSets.clear();
  }
  /** The current rules, for evaluating packets (evaluate.ts). */
  get rules() {
    return {
      family: this.#family,
      chains: () => [...this.chains.values()].map(({ chain: chain2 }) => chain2),
      chain: (name) => this.chains.get(name)?.chain,
      find: (name, key) => {
        const wanted = this.sets.get(name);
        if (!wanted) return void 0;
        if (wanted.set.interval) wanted.sorted ??= sortedRanges(wanted.elements);
        const element2 = wanted.sorted ? rangeOf2(wanted.sorted, key) : wanted.elements.get(elementId({ key }));
        return element2 && { element: element2, limit: wanted.set.limit !== void 0 };
      }
    };
  }
  /** Prints the table as nft text. */
  print() {
    const sets = new Map([...this.sets].map(([name, wanted]) => [name, { set: wanted.set, elements: [...wanted.elements.values()] }]));
    return printTable({ family: this.#family, name: this.#name, chains: new Map([...this.chains].map(([name, wanted]) => [name, wanted.chain])), sets });
  }
  /** The sizes of the desired content. */
  get sizes() {
    let [rules, maps] = [0, 0];
    for (const { encoded } of this.chains.values()) rules += encoded.length;
    for (const { set: set2 } of this.sets.values()) if (set2.data !== void 0) maps += 1;
    return { chains: this.chains.size, rules, sets: this.sets.size - maps, maps };
  }
  #setNamed(name) {
    const wanted = this.sets.get(name);
    if (wanted === void 0) throw invalid(`set ${name}`, "is to get or lose elements, but is not wanted itself");
    return wanted;
  }
  #note(wanted, id) {
    wanted.sorted = void 0;
    if (wanted.changed !== "all") wanted.changed.add(id);
    this.changedSets.add(wanted.set.name);
  }
};
var sortedRanges = (elements2) => Array.from(elements2.values(), ({ key, ...rest }) => ({ key, ...rest })).sort((one, other) => Buffer.compare(one.key, other.key));
function rangeOf2(ranges, key) {
  let [from, to] = [0, ranges.length];
  while (from < to) {
    const middle = from + to >>> 1;
    if (Buffer.compare(ranges[middle].key, key) <= 0) from = middle + 1;
    else to = middle;
  }
  const range = ranges[from - 1];
  return range && liesIn(range, key) ? range : void 0;
}
function checkElementKey(set2, element2) {
  const { data, verdict: verdict2 } = element2;
  if (set2.data === "verdict" ? verdict2 !== void 0 : set2.data === void 0 || data !== void 0) checkElement(set2, element2);
}

// packages/kernel/src/nftables/programmer.ts
var readingsThatMustHold = 3;
function createTableProgrammer(family, name, kernel) {
  const problem = nameProblem(name);
  if (problem !== void 0) throw invalid(`table ${JSON.stringify(name)}`, problem);
  const wanted = new WantedTable(family, name);
  const commits = new Commits(wanted, kernel);
  return {
    family,
    name,
    setChain: (chain2) => wanted.setChain(chain2),
    removeChain: (chain2) => wanted.removeChain(chain2),
    setSet: (set2, elements2) => wanted.setSet(set2, elements2),
    removeSet: (set2) => wanted.removeSet(set2),
    addElements: (set2, elements2) => wanted.addElements(set2, elements2),
    removeElements: (set2, elements2) => wanted.removeElements(set2, elements2),
    get dirty() {
      return !commits.isKnown || wanted.hasChanged;
    },
    apply: () => commits.apply(),
    distrust: () => commits.distrust(),
    rules: wanted.rules,
    print: () => wanted.print(),
    counts: () => ({ ...wanted.sizes, ...commits.done })
  };
}
var Commits = class {
  #wanted;
  #kernel;
  /** Valid only while `#known`. */
  #held = new HeldTable();
  #known = false;
  done = { committed: 0, refused: 0, readings: 0 };
  constructor(wanted, kernel) {
    this.#wanted = wanted;
    this.#kernel = kernel;
  }
  get isKnown() {
    return this.#known;
  }
  distrust() {
    this.#known = false;
  }
  apply() {
    const startedMs = performance.now();
    let [readings, together] = [0, false];
    for (; ; ) {
      const done = this.#attempt(readings, together);
      if (!("refused" in done)) return { ...done, tookMs: performance.now() - startedMs };
      const { refused, staged } = done;
      if (refused.code === "ERESTART" && readings < readingsThatMustHold) readings++;
      else if (staged && !together) together = true;
      else throw refused;
    }
  }
  /** Makes one attempt; `together` means in one transaction. */
  #attempt(readings, together) {
    const held2 = this.#known ? void 0 : this.#read();
    const planned = this.#plan(held2, together);
    this.#known = false;
    let generation2 = held2 === void 0 || readings >= readingsThatMustHold ? void 0 : held2.generation;
    let bytes = 0;
    try {
      for (const operations of planned) {
        bytes += this.#kernel.commit(operations, generation2).bytes;
        this.done.committed += 1;
        if (generation2 !== void 0) generation2 = nextGeneration(generation2);
      }
    } catch (error) {
      this.done.refused += 1;
      if (error instanceof NftablesError) return { refused: error, staged: planned.length > 1 };
      throw error;
    }
    this.#held.advance(this.#wanted);
    this.#wanted.noteNone();
    this.#known = true;
    return { operations: planned.flat().reduce((sum, operation2) => sum + sizeOf(operation2), 0), bytes, resynced: held2 !== void 0 };
  }
  #read() {
    this.done.readings += 1;
    const held2 = this.#kernel.read();
    this.#held.replace(held2);
    this.#wanted.noteAll(held2.chains.keys(), held2.sets.keys());
    return held2;
  }
  /** The transactions for what may have changed. Throws NftablesError (INVALID) where a chain looks up keys of the wrong type in a set. */
  #plan(held2, together) {
    const { chains, sets, changedChains, changedSets } = this.#wanted;
    const setOf2 = (set2) => sets.get(set2)?.set;
    const missing = held2 !== void 0 && !held2.table;
    const planned = difference({
      wantedChains: chains,
      wantedSets: sets,
      heldChains: this.#held.chains,
      heldSets: this.#held.sets,
      chains: changedChains,
      sets: changedSets,
      leftovers: held2?.leftovers ?? [],
      together: together || missing
    });
    for (const operation2 of planned.flat()) if (operation2.verb === "add rules") checkLookups(operation2.chain, setOf2);
    return missing ? [[{ verb: "add table" }, ...planned.flat()]] : planned;
  }
};
var nextGeneration = (generation2) => generation2 === 4294967295 ? 1 : generation2 + 1;
function sizeOf(operation2) {
  switch (operation2.verb) {
    case "add elements":
    case "delete elements":
      return operation2.elements.length;
    case "add rules":
      return operation2.encoded.length;
    case "add table":
    case "delete table":
    case "add chain":
    case "flush chain":
    case "delete chain":
    case "add set":
    case "delete set":
    case "delete object":
      return 1;
    default:
      return unreachable(operation2);
  }
}

// packages/kernel/src/nftables/table.netlink.ts
var readingAttempts = 20;
function openTable(family, name, namespace, options = {}) {
  const kernel = openTableKernel(family, name, namespace, options);
  return Object.assign(createTableProgrammer(family, name, kernel), {
    close: () => kernel.close(),
    portId: kernel.portId,
    exists: kernel.exists,
    hasRules: kernel.hasRules,
    elementsOf: kernel.elementsOf
  });
}
function openTableKernel(family, name, namespace, { owned = false } = {}) {
  const open = () => openNetlinkSocket(netlinkProtocol.netfilter);
  const socket2 = namespace === void 0 ? open() : inNamespace(namespace, open);
  const kernel = netlinkKernel(family, name, socket2);
  return Object.assign(owned ? owningKernel(kernel) : kernel, { close: () => socket2.close() });
}
function owningKernel(kernel) {
  let possible = true;
  let settled = false;
  const asOwner = (operations) => operations.map((operation2) => possible && operation2.verb === "add table" ? { ...operation2, owned: true } : operation2);
  const isRefusal = (error, ...codes) => error instanceof NftablesError && codes.includes(error.code);
  function adopt() {
    if (!possible || settled) return;
    try {
      kernel.commit(asOwner([{ verb: "add table" }]));
    } catch (error) {
      if (!isRefusal(error, "EOPNOTSUPP", "EINVAL", "EPERM")) throw error;
      if (isRefusal(error, "EPERM")) return;
    }
    settled = true;
  }
  return {
    ...kernel,
    read() {
      if (kernel.exists()) adopt();
      return kernel.read();
    },
    commit(operations, generation2) {
      const makes = operations.some(({ verb }) => verb === "add table");
      try {
        const done = kernel.commit(asOwner(operations), generation2);
        settled ||= makes;
        return done;
      } catch (error) {
        if (!makes || !possible || !isRefusal(error, "EOPNOTSUPP", "EINVAL")) throw error;
        possible = false;
        return kernel.commit(operations, generation2);
      }
    }
  };
}
function commit(family, name, socket2, operations, generation2) {
  const batch = encodeBatch(family, name, operations, generation2, () => socket2.nextSequence());
  const refusals = socket2.exchange([batch.bytes]).refusals.map(batch.describe);
  const [first, ...others] = refusals;
  if (first !== void 0) throw new NftablesError(sentence(family, name, first, others.length), [first, ...others]);
  return { bytes: batch.bytes.length };
}
function sentence(family, name, { code, object: object2, detail }, others) {
  const why = detail !== void 0 ? `${code}, ${detail}` : code === "EPERM" ? "EPERM: another process owns the table, or this process lacks the right to change rules (CAP_NET_ADMIN)" : code;
  return `the kernel refused to change table ${family} ${name} (nothing was changed): ${object2}: ${why}${others > 0 ? `, and ${others} more` : ""}`;
}
function netlinkKernel(family, name, socket2) {
  let portId;
  function ask(message2, flags, writeAttributes) {
    const request = requestMessage(messageType(message2), flags, socket2.nextSequence(), header3(familyNumber[family]), writeAttributes);
    const { answers, refusals } = socket2.exchange([request]);
    const refusal = refusals.find(({ code }) => code !== "ENOENT");
    if (refusal !== void 0) {
      const told = { code: refusal.code, object: `table ${family} ${name}`, ...refusal.detail === void 0 ? {} : { detail: refusal.detail } };
      throw new NftablesError(`cannot read table ${family} ${name}: the kernel answered ${[refusal.code, refusal.detail].filter(Boolean).join(", ")}`, [told]);
    }
    return answers;
  }
  const ofTable = (attribute4) => (writer) => writer.string(attribute4, name);
  function generation2() {
    const [answer] = ask(message.getGeneration, flag.acknowledge, () => void 0);
    portId = answer?.portId;
    return answer === void 0 ? 0 : decodeGeneration(answer.payload);
  }
  function readChains() {
    const chains = /* @__PURE__ */ new Map();
    for (const { payload: payload2 } of ask(message.getChain, flag.dump, () => void 0)) {
      const chain2 = decodeChain(family, name, payload2);
      if (chain2 !== void 0) chains.set(chain2.name, { hook: chain2.hook, rules: [] });
    }
    for (const { payload: payload2 } of ask(message.getRule, flag.dump, ofTable(rule.table))) {
      const { chain: chain2, rule: rule3 } = decodeRule(payload2);
      chains.get(chain2)?.rules.push(rule3);
    }
    return chains;
  }
  function readSets() {
    const sets = /* @__PURE__ */ new Map();
    for (const { payload: payload2 } of ask(message.getSet, flag.dump, ofTable(set.table))) {
      const found = decodeSet(payload2);
      if (found === void 0) continue;
      const { set: set2 } = found;
      sets.set(
        found.name,
        set2 === void 0 ? { definition: "not ours", elements: /* @__PURE__ */ new Map() } : { definition: printDefinition(set2), elements: readElements(set2) }
      );
    }
    return sets;
  }
  function readElements(set2) {
    const answers = ask(message.getElements, flag.dump, (writer) => {
      writer.string(elements.table, name);
      writer.string(elements.set, set2.name);
    });
    const elements2 = assembleElements(
      set2,
      answers.flatMap(({ payload: payload2 }) => decodeElements(set2, payload2))
    );
    return new Map(elements2.map((element2) => [elementId(element2), element2]));
  }
  function readLeftovers() {
    const objects = ask(message.getObject, flag.dump, ofTable(object.table)).map(({ payload: payload2 }) => decodeObject(payload2));
    return objects.filter(({ table: table3 }) => table3 === name).map((object2) => ({ verb: "delete object", object: object2.name, kind: object2.kind }));
  }
  function askTable() {
    const [found] = ask(message.getTable, flag.acknowledge, ofTable(table.name));
    return found && decodeTable(found.payload);
  }
  function readOnce2() {
    const before = generation2();
    const table3 = askTable();
    if (table3 === void 0) return { generation: before, table: false, chains: /* @__PURE__ */ new Map(), sets: /* @__PURE__ */ new Map(), leftovers: [] };
    return { generation: before, table: table3, chains: readChains(), sets: readSets(), leftovers: readLeftovers() };
  }
  function read() {
    for (let attempt = 1; ; attempt++) {
      const held2 = readOnce2();
      if (attempt === readingAttempts || generation2() === held2.generation) return held2;
    }
  }
  return {
    read,
    commit: (operations, held2) => commit(family, name, socket2, operations, held2),
    portId: () => portId,
    exists: () => askTable() === true,
    hasRules: (chain2) => askTable() === true && ask(message.getRule, flag.dump, (writer) => {
      writer.string(rule.table, name);
      writer.string(rule.chain, chain2);
    }).length > 0,
    elementsOf: (set2) => readElements(set2).values()
  };
}

// packages/kernel/src/packets/arp.ts
var overEthernet = Uint8Array.of(0, 1, 8, 0, 6, 4);

// packages/kernel/src/packets/packet-socket.ts
import koffi4 from "koffi";
var queueBytes = 8 * 1024 * 1024;
var packetKind = 4294963200 + 4;

// packages/kernel/src/routes/netlink.ts
function openRoutes(scope = { table: routeTable.main }) {
  const dumps = (filter) => [4, 6].map((family) => (sequence) => dumpRoutes(sequence, family, filter));
  const words2 = { plural: "the routes", groups: routeGroups, parse: readRouteMessage, write: writeRouteOperation };
  const table3 = openNetlinkTable(words2, dumps(scope), (message2) => passes(message2, scope));
  return { ...table3, read: (filter = scope) => table3.dump(dumps(filter), (message2) => passes(message2, filter)) };
}

// packages/kernel/src/routes/programmer.ts
function createRouteProgrammer(options) {
  return programmer({ ...options, kind: routeKind });
}

// packages/kernel/src/sysctl/sysctl.ts
import { closeSync as closeSync2, constants as constants3, openSync as openSync2, readFileSync as readFileSync2, readSync, writeSync } from "node:fs";
var SysctlError = class extends CodedError {
};
function writeSysctl(path, value, options = {}) {
  const text2 = String(value);
  if (/[\n\0]/.test(text2) || text2 === "") throw new RangeError(`${JSON.stringify(text2)} cannot be the value of ${path.join("/")}: it must be one line`);
  return expecting(path, `set to ${text2}`, () => overwrite(fileOf(path, options), text2)) ?? "absent";
}
var words = (text2) => text2.trim().split(/\s+/).join(" ");
function overwrite(file, text2) {
  const fd = openSync2(file, constants3.O_RDWR);
  try {
    const before = buffer.toString("latin1", 0, readSync(fd, buffer, 0, buffer.length, 0)).replace(/\n$/, "");
    if (before === text2 || words(before) === words(text2)) return "unchanged";
    writeSync(fd, `${text2}
`, 0);
  } finally {
    closeSync2(fd);
  }
  return "written";
}
var buffer = Buffer.alloc(4096);
function fileOf(path, { root = "/proc/sys" }) {
  for (const component of path) {
    if (component === "" || component === "." || component === ".." || /[/\0]/.test(component)) {
      throw new RangeError(`${JSON.stringify(component)} cannot be a component of a sysctl's path (${JSON.stringify(path)})`);
    }
  }
  return `${root}/${path.join("/")}`;
}
function expecting(path, what, act) {
  try {
    return act();
  } catch (error) {
    if (!(error instanceof Error) || !("code" in error)) throw error;
    const code = String(error.code);
    if (code === "ENOENT" || code === "ENODEV") return void 0;
    throw new SysctlError(code, `the sysctl ${path.join("/")} cannot be ${what}: ${code}`, { cause: error });
  }
}

// packages/render/src/statements.ts
var ascii = new TextEncoder();
function ifnameBytes(name) {
  const bytes = new Uint8Array(16);
  bytes.set(ascii.encode(name));
  return bytes;
}
var port = (value) => Uint8Array.of(value >> 8, value & 255);
var byte = (value) => Uint8Array.of(value);
var rule2 = (...statements) => ({ statements });
var equal = (field, value, negate = false) => ({ is: "match", field, value, ...negate && { negate } });
var inSet = (set2, fields2, negate = false) => ({ is: "in-set", set: set2, fields: fields2, ...negate && { negate } });
function nameBegins(field, prefix2) {
  const mask = new Uint8Array(16).fill(255, 0, prefix2.length);
  return { is: "masked", field, mask, value: ifnameBytes(prefix2) };
}
var l4proto = (protocol, negate = false) => equal("meta l4proto", byte(protocol), negate);
var verdict = (value) => ({ is: "verdict", ...value });
var accept = verdict({ verdict: "accept" });
var drop = verdict({ verdict: "drop" });
var goBack = verdict({ verdict: "return" });
var [ICMPV6, NEIGHBOUR_ADVERTISEMENT] = [58, 136];
var advertises = [l4proto(ICMPV6), equal("icmpv6 type", byte(NEIGHBOUR_ADVERTISEMENT))];

// bench/floor/felix.ts
var UDP = 17;
var [ALLOWED, TOGGLED] = [7e3, 7001];
var addresses = { name: "addresses", key: ["ipv4_addr"], data: "verdict" };
var clients = { name: "clients", key: ["ipv4_addr"] };
var groupLabel = "sg.projectcalico.org/openstack-";
var prefix = "/calico/resources/v3/projectcalico.org";
var host = process.env["FELIX_FELIXHOSTNAME"] ?? hostname();
var { FELIX_ETCDENDPOINTS: endpoints = "http://127.0.0.1:2379", ETCD_USERNAME: username, ETCD_PASSWORD: password } = process.env;
var etcd = connectEtcd({ endpoints: endpoints.split(","), ...username !== void 0 && { username, password: password ?? "" } });
var links = openLinks();
var table2 = openTable("inet", "floor");
var routes = createRouteProgrammer({ table: openRoutes(), devices: links, owns: () => false });
var neighbours = createNeighbourProgrammer({ table: openNeighbours(), devices: links, owns: () => false });
links.watch(({ links: names2 }) => {
  for (const name of names2) {
    routes.deviceChanged(name);
    neighbours.deviceChanged(name);
  }
});
var accept2 = { is: "verdict", verdict: "accept" };
var toPort = (number2) => [l4proto(UDP), equal("th dport", port(number2))];
var shared = (toggled) => ({ name: "shared", rules: toggled ? [rule2(...toPort(TOGGLED), accept2)] : [] });
table2.setSet(addresses, []);
table2.setSet(clients, []);
table2.setChain(shared(false));
table2.setChain({
  name: "forward",
  hook: { type: "filter", hook: "forward", priority: 0, policy: "drop" },
  rules: [rule2(nameBegins("meta oifname", "tap"), { is: "verdict-map", fields: ["ip daddr"], map: addresses.name })]
});
var held = /* @__PURE__ */ new Map();
var groups = /* @__PURE__ */ new Map();
var elementOf = (address) => ({ key: addressBytes(address) });
var setOf = (group) => ({ name: `members-${group}`, key: ["ipv4_addr"] });
function use(group, by) {
  const entry = groups.get(group);
  entry.users += by;
  if (by === 1 && entry.users === 1) {
    table2.setSet(setOf(group), [...entry.members].map(elementOf));
    const toClients = rule2(inSet(clients.name, ["ip saddr"]), ...toPort(ALLOWED), accept2);
    table2.setChain({
      name: group,
      rules: [rule2(inSet(setOf(group).name, ["ip saddr"]), accept2), toClients, rule2({ is: "verdict", verdict: "jump", chain: "shared" })]
    });
  } else if (entry.users === 0) {
    table2.removeChain(group);
    table2.removeSet(setOf(group).name);
  }
}
function join(group, address) {
  const entry = groups.get(group) ?? { members: /* @__PURE__ */ new Set(), users: 0 };
  groups.set(group, entry);
  if (entry.members.has(address)) return;
  entry.members.add(address);
  if (entry.users > 0) table2.addElements(setOf(group).name, [elementOf(address)]);
}
function leave(group, address) {
  const entry = groups.get(group);
  entry.members.delete(address);
  if (entry.users > 0) table2.removeElements(setOf(group).name, [elementOf(address)]);
}
function objectsOf({ device, mac, address, group }) {
  return {
    element: { key: addressBytes(address), verdict: { verdict: "goto", chain: group } },
    client: elementOf(address),
    route: deviceRoute({ destination: `${address}/32`, device, metric: 1024, protocol: 3 }),
    neighbour: { kind: "permanent", device, address, mac }
  };
}
function add(key, endpoint) {
  const { element: element2, client, route, neighbour } = objectsOf(endpoint);
  held.set(key, endpoint);
  use(endpoint.group, 1);
  if (endpoint.isClient) table2.addElements(clients.name, [client]);
  table2.addElements(addresses.name, [element2]);
  routes.set(route);
  neighbours.set(neighbour);
  for (const [setting, value] of [
    ["route_localnet", 1],
    ["proxy_arp", 1],
    ["forwarding", 1],
    ["rp_filter", 1]
  ])
    writeSysctl(["net", "ipv4", "conf", endpoint.device, setting], value);
}
function remove(key) {
  const endpoint = held.get(key);
  if (!endpoint) return;
  const { element: element2, client, route, neighbour } = objectsOf(endpoint);
  held.delete(key);
  table2.removeElements(addresses.name, [element2]);
  table2.removeElements(clients.name, [client]);
  leave(endpoint.group, endpoint.address);
  use(endpoint.group, -1);
  routes.remove(routeKey(route));
  neighbours.remove(neighbourKey(neighbour));
}
function takeEndpoint(key, value) {
  const { metadata: metadata2, spec } = JSON.parse(new TextDecoder().decode(value));
  const names2 = Object.keys(metadata2.labels).flatMap((label) => label.startsWith(groupLabel) ? [label.slice(groupLabel.length)] : []);
  const group = names2.find((name) => /^g\d+$/.test(name)) ?? "none";
  const address = spec.ipNetworks[0].split("/")[0];
  join(group, address);
  if (spec.node !== host) return;
  const endpoint = { device: spec.interfaceName, mac: spec.mac, address, isClient: names2.includes("client"), group };
  const { isClient } = endpoint;
  if (!held.has(key)) add(key, endpoint);
  else if (held.get(key)?.isClient !== isClient) {
    held.set(key, endpoint);
    if (isClient) table2.addElements(clients.name, [elementOf(address)]);
    else table2.removeElements(clients.name, [elementOf(address)]);
  }
}
function take(key, value) {
  if (key.startsWith(`${prefix}/workloadendpoints/`)) {
    if (value) takeEndpoint(key, value);
    else remove(key);
  } else if (key.endsWith(".shared") && value) table2.setChain(shared(new TextDecoder().decode(value).includes(String(TOGGLED))));
}
function commit2() {
  table2.apply();
  neighbours.apply();
  routes.apply();
}
var inSync = false;
writeSysctl(["net", "ipv4", "ip_forward"], 1);
etcd.follow([prefix], {
  onChanges(changes) {
    for (const { key, value } of changes) take(key, value);
    if (inSync) commit2();
  },
  onInSync() {
    inSync = true;
    commit2();
  },
  onUnreadable: () => void 0,
  onState: () => void 0
});
