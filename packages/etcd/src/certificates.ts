// The certificates for etcd: files that may be renewed while an agent runs.
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext, getCACertificates } from 'node:tls';
import { fileReason } from '@calico-openstack/agent/errors';
import { EtcdError, messageOf } from './errors.ts';
import type { Target } from './transport.ts';
import type { EtcdOptions } from './types.ts';

type Tls = NonNullable<Target['tls']>;

/** The certificates of a client, read again for each new connection. */
export interface Certificates {
  /**
   * The certificates for a new connection, from the files as they are now. Whoever renews the files writes one after the other, so a set that does not fit together is not used:
   * the last usable set stays in use, and `onWarning` is called with the reason. Throws ETCD_MISCONFIGURED when there was no usable set yet.
   */
  current(): Tls;
}

/** Reads no file before the first call of `current`, because a connection without TLS needs none. */
export function openCertificates(options: EtcdOptions): Certificates {
  let good: Tls | undefined;
  let told: string | undefined;
  return {
    current() {
      try {
        good = readCertificates(options);
        told = undefined;
      } catch (error) {
        if (!good || !(error instanceof EtcdError)) throw error;
        if (told !== error.message) options.onWarning?.(`${error.message}. Until then this process goes on with the certificates that it read before`);
        told = error.message;
      }
      return good;
    },
  };
}

/** Whom to trust and what to show, as the files are now. Throws ETCD_MISCONFIGURED when they cannot be used together. */
function readCertificates({ caFile, certFile, keyFile }: EtcdOptions): Tls {
  if ((certFile === undefined) !== (keyFile === undefined)) {
    const [given, missing] = certFile === undefined ? [`key ${keyFile}`, 'certificate'] : [`certificate ${certFile}`, 'key'];
    throw new EtcdError('ETCD_MISCONFIGURED', `the client's ${given} for etcd is given without a ${missing}; give the file of each, or neither`);
  }
  const tls = {
    // As in every Go tool, any certificate of the file is trusted, also an intermediate authority's. Without a file, the system's store is used.
    ca: caFile === undefined ? systemAuthorities() : authoritiesIn(caFile),
    allowPartialTrustChain: true,
    ...(certFile === undefined ? {} : { cert: certificatesIn('client certificate for etcd', certFile) }),
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

/** The authorities of the system's store, and those of NODE_EXTRA_CA_CERTS. They are read once per process, as in Go. */
const systemAuthorities = (): string[] => [...new Set([...getCACertificates('system'), ...getCACertificates('extra')])];

/** Refuses a file without certificates. Node would accept it as a list of no authorities, and fail only when it connects. */
function authoritiesIn(file: string): Buffer {
  const content = certificatesIn("authorities' file for etcd", file);
  const found = content.toString('latin1').match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (found.length === 0 || !found.every(isCertificate)) {
    const what = found.length === 0 ? 'no certificate' : 'a certificate that cannot be read';
    throw new EtcdError('ETCD_MISCONFIGURED', `the authorities' file for etcd holds ${what}: ${file}; it must hold, as PEM, who signed etcd's certificate`);
  }
  return content;
}

/** Refuses an incomplete file. OpenSSL reads the complete certificates of a file that is still being written, and would miss the rest: the second authority, or the end of the chain. */
function certificatesIn(what: string, file: string): Buffer {
  const content = contentOf(what, file);
  const count = (mark: RegExp): number => content.toString('latin1').match(mark)?.length ?? 0;
  if (count(/-----BEGIN /g) !== count(/-----END [^-]+-----/g))
    throw new EtcdError('ETCD_MISCONFIGURED', `the ${what} ends in the middle of a certificate: ${file}; write it anew`);
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
