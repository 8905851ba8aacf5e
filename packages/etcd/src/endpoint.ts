// One etcd endpoint: its URL, its certificates, its connection while there is one.
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { EtcdError, messageOf } from './errors.ts';
import { openTransport, type Target, type Transport } from './transport.ts';
import type { EtcdOptions } from './types.ts';

export interface Endpoint {
  readonly url: string;
  /** The connection that stands, or a new one. Rejects with ETCD_UNAVAILABLE when there is none within that time. */
  connect(milliseconds: number): Promise<Transport>;
  /** The address at the other end of the connection that stands. */
  readonly remoteAddress: string | undefined;
  close(): void;
}

/** Throws ETCD_MISCONFIGURED when the URL or a file cannot be used. */
export function openEndpoint(text: string, options: EtcdOptions): Endpoint {
  const { url, host, port, secure } = parseEndpoint(text);
  const closing = new AbortController();
  const target = (): Target => (secure ? { host, port, tls: certificates(options) } : { host, port });
  target();
  let transport: Transport | undefined;
  let opening: Promise<Transport> | undefined;

  async function open(milliseconds: number): Promise<Transport> {
    try {
      transport = await openTransport(target(), milliseconds, closing.signal);
      return transport;
    } catch (error) {
      throw new EtcdError('ETCD_UNAVAILABLE', `${url}: ${messageOf(error)}`, { cause: error });
    } finally {
      opening = undefined;
    }
  }

  return {
    url,
    connect(milliseconds) {
      if (transport?.usable) return Promise.resolve(transport);
      opening ??= open(milliseconds);
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

export type ParsedEndpoint = { readonly url: string; readonly host: string; readonly port: number; readonly secure: boolean };

export function parseEndpoint(text: string): ParsedEndpoint {
  const wrong = (why: string): EtcdError =>
    new EtcdError('ETCD_MISCONFIGURED', `etcd endpoint ${JSON.stringify(withoutPassword(text))}: ${why}; write http://HOST:PORT or https://HOST:PORT`);
  if (!URL.canParse(text)) throw wrong('not a URL');
  const { protocol, hostname, port, username, password, pathname, search, hash } = new URL(text);
  const secure = protocol === 'https:';
  if (!secure && protocol !== 'http:') throw wrong(`${protocol} is not known`);
  if (username !== '' || password !== '') throw wrong('user and password have options of their own, and are not taken from here');
  if (pathname !== '/' || search !== '' || hash !== '') throw wrong('nothing may follow the port');
  // URL leaves a port out that is its scheme's own.
  const ownPort = new RegExp(`:0*${secure ? 443 : 80}/?$`).test(text) ? (secure ? 443 : 80) : 2379;
  const number = port === '' ? ownPort : Number(port);
  return { url: `${protocol}//${hostname}:${number}`, host: hostname.replace(/^\[(.*)\]$/, '$1'), port: number, secure };
}

/** What may stand in a message: before an @ there may be a password. */
const withoutPassword = (text: string): string => text.replace(/^(\w+:\/\/)?.*@/s, '$1…@');

/** The certificates as they are on disk now. */
function certificates({ caFile, certFile, keyFile }: EtcdOptions): NonNullable<Target['tls']> {
  if ((certFile === undefined) !== (keyFile === undefined))
    throw new EtcdError('ETCD_MISCONFIGURED', 'a client certificate for etcd needs both certFile and keyFile');
  const tls = {
    ...(caFile === undefined ? {} : { ca: contentOf(caFile) }),
    ...(certFile === undefined ? {} : { cert: contentOf(certFile) }),
    ...(keyFile === undefined ? {} : { key: contentOf(keyFile) }),
  };
  try {
    createSecureContext(tls);
  } catch (error) {
    throw new EtcdError('ETCD_MISCONFIGURED', `certificates for etcd (${[caFile, certFile, keyFile].filter(Boolean).join(', ')}): ${messageOf(error)}`, {
      cause: error,
    });
  }
  return tls;
}

function contentOf(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new EtcdError('ETCD_MISCONFIGURED', `cannot read ${file}: ${messageOf(error)}`, { cause: error });
  }
}
