// etcd's options, under their names in Calico's files and in neutron.conf.
import { isIPv6 } from 'node:net';
import { type Row, row, type Table, type Values } from './option.ts';
import { bad, decimal, good, matching, oneOf, text, whole, words } from './parsers.ts';
import type { Complaint, Resolution } from './resolve.ts';

/** What a client of etcd is opened with (`EtcdOptions` of the room `etcd`). */
export type EtcdConnection = {
  /** URLs with scheme, host and port. */
  readonly endpoints: readonly string[];
  /** How long one request may take. */
  readonly timeoutMs?: number;
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  readonly username?: string;
  readonly password?: string;
};

const isPort = (digits: string | undefined): boolean => digits === undefined || (Number(digits) >= 1 && Number(digits) <= 65_535);
const isHost = (host: string): boolean => /^[A-Za-z0-9_.-]+$/.test(host) || isIPv6(host);
/** The host without the brackets that an IPv6 address has in a URL. */
const bare = (host: string): string => (/^\[.*\]$/.test(host) ? host.slice(1, -1) : host);

/** One or more URLs `http(s)://host:port`, separated by commas or blanks, all of one scheme, without path, user or query. */
const endpoints = row<readonly string[] | undefined>(
  (value) => {
    const urls = words(value);
    const schemes = urls.map((url) => {
      const [, scheme, host = '', port] = /^(https?):\/\/(\[[0-9a-fA-F:.]+\]|[^\s/:@[\]]+)(?::([0-9]{1,5}))?\/?$/.exec(url) ?? [];
      return isHost(bare(host)) && isPort(port) ? scheme : undefined;
    });
    return urls.length > 0 && schemes[0] !== undefined && schemes.every((scheme) => scheme === schemes[0])
      ? good(urls.map((url) => url.replace(/\/$/, '')))
      : bad('it must be http://host:port or https://host:port, several separated by commas, all of one scheme; user and password have options of their own');
  },
  undefined,
  "etcd's endpoints: URLs such as `https://10.0.0.1:2379`, separated by commas",
  { required: true, shownDefault: 'see the next two', also: { libcalico: ['ETCD_ENDPOINTS'] } },
);

const address = row(
  matching((value) => {
    const [, host = '', port] = /^(\[.*\]|[^\s/:@]+):([0-9]{1,5})$/.exec(value) ?? [];
    return isHost(bare(host)) && isPort(port);
  }, 'host:port, and nothing else'),
  '127.0.0.1:2379',
  "etcd's host and port, if no endpoints are given",
  { required: true },
);

const hosts = row<readonly string[]>(
  (value) => {
    const list = words(value);
    return list.every((host) => isHost(bare(host)))
      ? good(list)
      : bad('it must be a host name or address, several separated by commas, without scheme and port (etcd_scheme, etcd_port)');
  },
  ['127.0.0.1'],
  "etcd's host; several separated by commas",
  { required: true },
);

const scheme = row(oneOf('http', 'https'), 'http', "the scheme for etcd's host, if no endpoints are given", { required: true });
const none = { value: undefined };

const file = (help: string, libcalico: string): Row<string | undefined> =>
  row<string | undefined>(text, undefined, help, { none, also: { libcalico: [libcalico] } });
const secret = (help: string, libcalico: string): Row<string | undefined> =>
  row<string | undefined>(text, undefined, help, { none, also: { libcalico: [libcalico] } });

const tls = {
  ca: file("file of the authorities that etcd's certificate is checked against; the system's if left out", 'ETCD_CA_CERT_FILE'),
  certificate: file("file of this client's certificate", 'ETCD_CERT_FILE'),
  key: file("file of this client's key", 'ETCD_KEY_FILE'),
};
const user = {
  name: secret("this client's user in etcd", 'ETCD_USERNAME'),
  password: secret('its password, in backquotes if it contains `#` or `;`', 'ETCD_PASSWORD'),
  passwordInConf: secret('its password', 'ETCD_PASSWORD'),
};

/** etcd's options in felix.cfg and bird-agent.cfg. */
export const etcdRowsOfCfg = {
  EtcdEndpoints: endpoints,
  EtcdScheme: scheme,
  EtcdAddr: address,
  EtcdCaFile: tls.ca,
  EtcdCertFile: tls.certificate,
  EtcdKeyFile: tls.key,
  EtcdUsername: user.name,
  EtcdPassword: user.password,
};

/** etcd's options in section `[calico]` of neutron.conf. */
export const etcdRowsOfConf = {
  etcd_endpoints: { ...endpoints, shownDefault: 'made of the next three' },
  etcd_scheme: { ...scheme, help: 'the scheme; with a certificate file it is always `https`' },
  etcd_host: hosts,
  etcd_port: row(whole(1, 65_535), 2379, "etcd's port", { required: true }),
  etcd_ca_cert_file: tls.ca,
  etcd_cert_file: tls.certificate,
  etcd_key_file: tls.key,
  etcd_username: user.name,
  etcd_password: user.passwordInConf,
  etcd_timeout: row(decimal(1, 3600), 60, 'seconds after which a request fails that etcd has not answered'),
};

const connection = (options: { readonly [name in keyof EtcdConnection]: EtcdConnection[name] | undefined }): EtcdConnection =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined && value !== '')) as unknown as EtcdConnection;

/** The connection according to the options of felix.cfg or bird-agent.cfg. */
export const etcdOfCfg = (values: Values<typeof etcdRowsOfCfg>): EtcdConnection =>
  connection({
    endpoints: values.EtcdEndpoints ?? [`${values.EtcdScheme}://${values.EtcdAddr}`],
    caFile: values.EtcdCaFile,
    certFile: values.EtcdCertFile,
    keyFile: values.EtcdKeyFile,
    username: values.EtcdUsername,
    password: values.EtcdPassword,
  });

/** The longest time-out for one answer. Upstream waits `etcd_timeout` (60 s), which is too long when a server is gone and another endpoint would answer. */
const longestSilenceSeconds = 10;

/** The connection according to section [calico] of neutron.conf. */
export function etcdOfConf(values: Values<typeof etcdRowsOfConf>): EtcdConnection {
  const { etcd_ca_cert_file: caFile, etcd_cert_file: certFile, etcd_key_file: keyFile } = values;
  // As upstream does: a TLS file means https, whatever the scheme is.
  const usedScheme = (caFile ?? certFile ?? keyFile) ? 'https' : values.etcd_scheme;
  const urlOf = (host: string): string => `${usedScheme}://${isIPv6(host) ? `[${host}]` : host}:${values.etcd_port}`;
  return connection({
    endpoints: values.etcd_endpoints ?? values.etcd_host.map(urlOf),
    timeoutMs: 1000 * Math.min(longestSilenceSeconds, values.etcd_timeout),
    caFile,
    certFile,
    keyFile,
    username: values.etcd_username,
    password: values.etcd_password,
  });
}

const tlsOptions = ['EtcdCaFile', 'EtcdCertFile', 'EtcdKeyFile', 'etcd_ca_cert_file', 'etcd_cert_file', 'etcd_key_file'];

/**
 * The complaint about a TLS file that has no effect, because etcd's address begins with http. Whoever has named the file believes that etcd is authenticated, and that a password is
 * not sent in the clear.
 */
export function complaintsOfPlainEtcd({ setBy }: Pick<Resolution<Table>, 'setBy'>, { endpoints: [first = ''] }: EtcdConnection): readonly Complaint[] {
  const option = tlsOptions.find((name) => setBy.get(name) !== undefined && !isNothing(setBy.get(name)!.text));
  if (option === undefined || !first.startsWith('http:')) return [];
  const { source, text: value } = setBy.get(option)!;
  const isConf = option === option.toLowerCase();
  const remedy = isConf ? 'write https:// in etcd_endpoints' : 'write https:// in EtcdEndpoints, or EtcdScheme = https';
  const problem = `etcd's address begins with http, so the file has no effect: nobody checks who answers as etcd, and all is sent in the clear; ${remedy}`;
  return [{ option: isConf ? `[calico] ${option}` : option, source, value, problem }];
}
const isNothing = (value: string): boolean => /^\s*(none)?\s*$/i.test(value);
