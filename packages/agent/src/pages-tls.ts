// TLS for an agent's pages: reads the certificates, also after they were renewed, and decides which clients are served.
import { constants } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { createServer, type ServerOptions } from 'node:https';
import { createSecureContext, type SecureContextOptions, type TLSSocket } from 'node:tls';
import { CodedError, fileReason } from './errors.ts';
import type { Logger } from './log.ts';

/** Which clients may read the pages, in the words of Felix's parameter `PrometheusMetricsClientAuth`. */
export const clientAuths = ['NoClientCert', 'VerifyClientCertIfGiven', 'RequireAnyClientCert', 'RequireAndVerifyClientCert'] as const;
/** One of `clientAuths`. */
export type ClientAuth = (typeof clientAuths)[number];

/** The files that pages are served with. Certificate and key are both needed; the authorities are those that clients' certificates are checked against. */
export type PagesTls = {
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly caFile: string | undefined;
  readonly clientAuth: ClientAuth;
};

/** Certificates of pages that cannot be used, so that the pages are not served. */
export class PagesTlsError extends CodedError {}

const unusable = (message: string, cause?: unknown): PagesTlsError => new PagesTlsError('TLS_UNUSABLE', message, cause === undefined ? {} : { cause });

function contentOf(what: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw unusable(`cannot read the ${what}: ${file}: ${fileReason(error)}; correct its name or its rights`, error);
  }
}

/** The files as they are now. @throws PagesTlsError when they cannot be used together */
function readFiles({ certFile, keyFile, caFile, clientAuth }: PagesTls): SecureContextOptions {
  if (certFile === undefined || keyFile === undefined)
    throw unusable(`pages with TLS need a certificate and its key, and the ${certFile === undefined ? 'certificate' : 'key'} is not given`);
  const verifies = clientAuth === 'RequireAndVerifyClientCert' || clientAuth === 'VerifyClientCertIfGiven';
  if (verifies && caFile === undefined) throw unusable(`${clientAuth} needs the file of the authorities that clients' certificates are checked against`);
  const files = {
    cert: contentOf('certificate of these pages', certFile),
    key: contentOf("key of these pages' certificate", keyFile),
    ...(caFile !== undefined && { ca: contentOf("authorities' file of these pages", caFile) }),
    // As in Go: any certificate of the file is trusted, an intermediate authority's too.
    allowPartialTrustChain: true,
  };
  if (files.ca && !files.ca.includes('-----BEGIN CERTIFICATE-----')) throw unusable(`the authorities' file of these pages holds no certificate: ${caFile}`);
  try {
    createSecureContext(files);
  } catch (error) {
    const names = [certFile, keyFile, caFile].filter((name) => name !== undefined).join(', ');
    throw unusable(
      `the certificates of these pages (${names}) cannot be used: ${(error as Error).message}; see that each file holds PEM, and that certificate and key belong together`,
      error,
    );
  }
  return files;
}

/** Checks that pages can be served with these files. @throws PagesTlsError with the reason */
export const checkPagesTls = (tls: PagesTls): void => void readFiles(tls);

/** Whether a client is served. @param given whether it has shown a certificate. @param verified whether one of the authorities has signed it */
export function admits(clientAuth: ClientAuth, given: boolean, verified: boolean): boolean {
  switch (clientAuth) {
    case 'NoClientCert':
      return true;
    case 'RequireAnyClientCert':
      return given;
    case 'VerifyClientCertIfGiven':
      return !given || verified;
    case 'RequireAndVerifyClientCert':
      return given && verified;
    default:
      return clientAuth satisfies never;
  }
}

/**
 * Creates a server with TLS. The files are read again for each connection, as upstream does. Whoever renews them writes one after the other, so files that do not fit together are not
 * used: the last ones that did stay, and the log reports it once.
 * @throws PagesTlsError when the files cannot be used now
 */
export function createTlsServer(tls: PagesTls, options: ServerOptions, handler: Parameters<typeof createServer>[1], log: Logger): Server {
  let files = readFiles(tls);
  let reported: string | undefined;
  const server = createServer(
    {
      ...options,
      ...files,
      requestCert: tls.clientAuth !== 'NoClientCert',
      rejectUnauthorized: false, // `admits` decides instead, because it distinguishes more cases
      // Sessions are not resumed, because a resumed session skips the check of the client's certificate, and the authorities may have changed since.
      secureOptions: constants.SSL_OP_NO_TICKET,
    },
    handler,
  );
  server.prependListener('connection', () => {
    try {
      const fresh = readFiles(tls);
      if (!sameFiles(files, fresh)) {
        server.setSecureContext({ ...fresh, secureOptions: constants.SSL_OP_NO_TICKET });
        files = fresh;
        log.info({ file: tls.certFile }, 'the certificates of the pages were renewed; new connections use them');
      }
      reported = undefined;
    } catch (error) {
      const { message } = error as Error;
      if (message !== reported)
        log.error({ err: error }, 'the renewed certificates of the pages are not used; the ones that were read before are, until this is mended');
      reported = message;
    }
  });
  server.on('secureConnection', (socket: TLSSocket) => {
    if (!admits(tls.clientAuth, socket.getPeerX509Certificate() !== undefined, socket.authorized)) socket.destroy();
  });
  return server;
}

const sameFiles = (one: SecureContextOptions, other: SecureContextOptions): boolean =>
  (['cert', 'key', 'ca'] as const).every((name) => {
    const [first, second] = [one[name], other[name]] as readonly (Buffer | undefined)[];
    return first === second || (first !== undefined && second !== undefined && first.equals(second));
  });
