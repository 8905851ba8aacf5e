// One etcd endpoint: its URL, its connection while there is one.
import type { Certificates } from './certificates.ts';
import { EtcdError, messageOf } from './errors.ts';
import { closedEarly, openTransport, type Target, type Transport } from './transport.ts';

/** One etcd endpoint. */
export interface Endpoint {
  readonly url: string;
  /** The established connection, or a new one. Rejects with ETCD_UNAVAILABLE when none stands within that time. */
  connect(ms: number): Promise<Transport>;
  /** The remote IP address of the established connection; undefined while there is none. */
  readonly remoteAddress: string | undefined;
  close(): void;
}

/**
 * The endpoint with this URL. It connects when `connect` is called.
 * @throws ETCD_MISCONFIGURED when the URL or a certificate's file cannot be used
 */
export function openEndpoint(text: string, certificates: Certificates): Endpoint {
  const { url, host, port, secure } = parseEndpoint(text);
  const closing = new AbortController();
  const target = (): Target => (secure ? { host, port, tls: certificates.current() } : { host, port });
  target();
  let transport: Transport | undefined;
  let opening: Promise<Transport> | undefined;

  async function open(ms: number): Promise<Transport> {
    try {
      transport = await openTransport(target(), ms, closing.signal);
      return transport;
    } catch (error) {
      throw new EtcdError('ETCD_UNAVAILABLE', `${url}: ${reasonOf(error)}${remedyOf(error, secure)}`, { cause: error });
    } finally {
      opening = undefined;
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
      return transport?.usable ? transport.remoteAddress : undefined;
    },
    close() {
      closing.abort();
      transport?.close();
    },
  };
}

const untrusted = "; name who signed etcd's certificate in the authorities' file for etcd, or add it to the system's";
const clientCertificate = '; etcd asks for a client certificate: give its file and that of its key, and see that an authority that etcd trusts has signed it';
const remedies: Readonly<Record<string, string>> = {
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrusted,
  UNABLE_TO_GET_ISSUER_CERT: untrusted,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrusted,
  DEPTH_ZERO_SELF_SIGNED_CERT: untrusted,
  SELF_SIGNED_CERT_IN_CHAIN: untrusted,
  CERT_HAS_EXPIRED: "; renew etcd's certificate, or correct this host's clock",
  CERT_NOT_YET_VALID: "; correct this host's clock",
  ERR_TLS_CERT_ALTNAME_INVALID: '; name etcd as its certificate does',
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: clientCertificate,
  'ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE': clientCertificate,
};

/** Codes of a server that ends the connection at once, or answers in another protocol, which mostly means that the scheme is wrong. */
const wrongScheme: ReadonlySet<string> = new Set(['ECONNRESET', 'EPROTO', 'ERR_SSL_WRONG_VERSION_NUMBER', closedEarly]);

const codeOf = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : '');

/** The reason of a failed connection. OpenSSL's messages have an address in memory and a position in its source around the reason. */
const reasonOf = (error: unknown): string => (error instanceof Error && 'reason' in error ? String(error.reason) : messageOf(error));

/** What an operator can do about a connection that TLS refuses, or that does not come about. */
function remedyOf(error: unknown, secure: boolean): string {
  const code = codeOf(error);
  if (wrongScheme.has(code)) return secure ? '; see whether etcd speaks https there, or only http' : '; see whether etcd speaks http there, or only https';
  return remedies[code] ?? '';
}

/** The parts of an endpoint's URL. `url` is its normal form, with the port; `host` has no brackets. */
export type ParsedEndpoint = { readonly url: string; readonly host: string; readonly port: number; readonly secure: boolean };

/**
 * Parses `http://HOST:PORT` or `https://HOST:PORT`; the port is 2379 when left out.
 * @throws ETCD_MISCONFIGURED for anything else, without repeating a password in the URL
 */
export function parseEndpoint(text: string): ParsedEndpoint {
  const wrong = (why: string): EtcdError =>
    new EtcdError('ETCD_MISCONFIGURED', `etcd endpoint ${JSON.stringify(withoutPassword(text))}: ${why}; write http://HOST:PORT or https://HOST:PORT`);
  if (!URL.canParse(text)) throw wrong('not a URL');
  const { protocol, hostname, port, username, password, pathname, search, hash } = new URL(text);
  const secure = protocol === 'https:';
  if (!secure && protocol !== 'http:') throw wrong(`${protocol} is not known`);
  if (username !== '' || password !== '') throw wrong('user and password have options of their own, and are not taken from here');
  if (pathname !== '/' || search !== '' || hash !== '') throw wrong('nothing may follow the port');
  // URL drops a port that is the scheme's default (80, 443), so only the text shows whether a port was given.
  const ownPort = new RegExp(`:0*${secure ? 443 : 80}/?$`).test(text) ? (secure ? 443 : 80) : 2379;
  const number = port === '' ? ownPort : Number(port);
  return { url: `${protocol}//${hostname}:${number}`, host: hostname.replace(/^\[(.*)\]$/, '$1'), port: number, secure };
}

/** The URL as it may be shown in a message: what precedes an @ may hold a password. */
const withoutPassword = (text: string): string => text.replace(/^(\w+:\/\/)?.*@/s, '$1…@');
