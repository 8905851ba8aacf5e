// One etcd endpoint: its URL, its certificates, its connection while there is one.
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext, getCACertificates } from 'node:tls';
import { fileReason } from '@calico-openstack/agent/errors';
import { EtcdError, messageOf } from './errors.ts';
import { openTransport, type Target, type Transport } from './transport.ts';
import type { EtcdOptions } from './types.ts';

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
 * The endpoint with this URL. Connects when asked to.
 * @throws ETCD_MISCONFIGURED when the URL or a certificate's file cannot be used
 */
export function openEndpoint(text: string, options: EtcdOptions): Endpoint {
  const { url, host, port, secure } = parseEndpoint(text);
  const closing = new AbortController();
  const target = (): Target => (secure ? { host, port, tls: certificates(options) } : { host, port });
  target();
  let transport: Transport | undefined;
  let opening: Promise<Transport> | undefined;

  async function open(ms: number): Promise<Transport> {
    try {
      transport = await openTransport(target(), ms, closing.signal);
      return transport;
    } catch (error) {
      throw new EtcdError('ETCD_UNAVAILABLE', `${url}: ${messageOf(error)}${remedyOf(error)}`, { cause: error });
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
const remedies: Readonly<Record<string, string>> = {
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrusted,
  UNABLE_TO_GET_ISSUER_CERT: untrusted,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrusted,
  DEPTH_ZERO_SELF_SIGNED_CERT: untrusted,
  SELF_SIGNED_CERT_IN_CHAIN: untrusted,
  CERT_HAS_EXPIRED: "; renew etcd's certificate, or correct this host's clock",
  CERT_NOT_YET_VALID: "; correct this host's clock",
  ERR_TLS_CERT_ALTNAME_INVALID: '; name etcd as its certificate does',
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: '; etcd asks for a client certificate: give its file, and that of its key',
};

/** What an operator can do about a connection that TLS refuses. */
const remedyOf = (error: unknown): string => (error instanceof Error && 'code' in error ? (remedies[String(error.code)] ?? '') : '');

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
  // URL drops a port that is the scheme's default (80, 443): the text tells whether it was given.
  const ownPort = new RegExp(`:0*${secure ? 443 : 80}/?$`).test(text) ? (secure ? 443 : 80) : 2379;
  const number = port === '' ? ownPort : Number(port);
  return { url: `${protocol}//${hostname}:${number}`, host: hostname.replace(/^\[(.*)\]$/, '$1'), port: number, secure };
}

/** The URL as it may be shown in a message: what precedes an @ may hold a password. */
const withoutPassword = (text: string): string => text.replace(/^(\w+:\/\/)?.*@/s, '$1…@');

/** Reads the certificates from disk. */
function certificates({ caFile, certFile, keyFile }: EtcdOptions): NonNullable<Target['tls']> {
  if ((certFile === undefined) !== (keyFile === undefined)) {
    const [given, missing] = certFile === undefined ? [`key ${keyFile}`, 'certificate'] : [`certificate ${certFile}`, 'key'];
    throw new EtcdError('ETCD_MISCONFIGURED', `the client's ${given} for etcd is given without a ${missing}; give the file of each, or neither`);
  }
  const tls = {
    // As Go's tools do: any certificate of the file is trusted, also an intermediate authority's; without a file, the system's store.
    ca: caFile === undefined ? systemAuthorities() : authoritiesIn(caFile),
    allowPartialTrustChain: true,
    ...(certFile === undefined ? {} : { cert: contentOf('client certificate for etcd', certFile) }),
    ...(keyFile === undefined ? {} : { key: contentOf("client certificate's key for etcd", keyFile) }),
  };
  try {
    createSecureContext(tls);
  } catch (error) {
    const files = [caFile, certFile, keyFile].filter(Boolean).join(', ');
    throw new EtcdError(
      'ETCD_MISCONFIGURED',
      `the certificates for etcd (${files}) cannot be used: ${messageOf(error)}; see that each file holds PEM, and that certificate and key belong together`,
      { cause: error },
    );
  }
  return tls;
}

/** The authorities that the host trusts, and those of NODE_EXTRA_CA_CERTS. Node reads them once per process, as Go does. */
const systemAuthorities = (): string[] => [...new Set([...getCACertificates('system'), ...getCACertificates('extra')])];

/** Reads and checks the authorities' file. Node accepts a file without certificates, trusts nobody then, and reports that only when it connects. */
function authoritiesIn(file: string): Buffer {
  const content = contentOf("authorities' file for etcd", file);
  const found = content.toString('latin1').match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (found.length === 0 || !found.every(isCertificate)) {
    const what = found.length === 0 ? 'no certificate' : 'a certificate that cannot be read';
    throw new EtcdError('ETCD_MISCONFIGURED', `the authorities' file for etcd holds ${what}: ${file}; it must hold, as PEM, who signed etcd's certificate`);
  }
  return content;
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}

function contentOf(what: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new EtcdError('ETCD_MISCONFIGURED', `cannot read the ${what}: ${file}: ${fileReason(error)}; correct its name or its rights`, { cause: error });
  }
}
