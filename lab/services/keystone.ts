import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Joined } from '../plan.ts';
import type { Processes } from '../process.ts';
import type { MariaDb } from './mariadb.ts';
import { type WsgiService, wsgiService } from './uwsgi.ts';

/** The lab's Keystone. */
export interface Keystone extends WsgiService {
  /** Creates the tables and the administrator. MariaDB must have an empty database `keystone`. */
  migrate(): Promise<void>;
  /** Everything except Keystone's version on which the result of `migrate` depends. */
  readonly contents: string;
  readonly authUrl: string;
}

/** The administrator's login. It is public, and works only inside of the lab. */
export const administrator = { user: 'admin', password: 'lab', project: 'admin', domain: 'Default', region: 'RegionOne' } as const;

/** A section of a service's configuration that has the administrator log in. @param more further lines of the section */
export const loginSection = (section: string, authUrl: string, more = ''): string => `[${section}]
auth_type = password
auth_url = ${authUrl}
www_authenticate_uri = ${authUrl}
username = ${administrator.user}
password = ${administrator.password}
project_name = ${administrator.project}
user_domain_name = ${administrator.domain}
project_domain_name = ${administrator.domain}
region_name = ${administrator.region}
${more}`;

/** Describes Keystone on the control machine. */
export function keystoneService(processes: Processes, on: Joined, mariadb: MariaDb): Keystone {
  const name = 'control/keystone';
  const directory = join(processes.directory, name);
  const file = join(directory, 'keystone.conf');
  const authUrl = `http://${on.link.machine4}:5000/v3`;
  const prepare = (): void => {
    mkdirSync(directory, { recursive: true });
    writeFileSync(file, configuration(directory, mariadb.connection('keystone')));
    for (const keys of ['fernet-keys', 'credential-keys']) makeKeys(join(directory, keys));
  };
  const service = wsgiService(processes, {
    name,
    on,
    port: 5000,
    application: { file: '/usr/bin/keystone-wsgi-public' },
    workers: 1,
    env: { OS_KEYSTONE_CONFIG_DIR: directory },
    prepare,
  });
  const manage = (...args: string[]): Promise<string> => processes.run('keystone-manage', ['--config-file', file, ...args], { on, timeoutMs: 120_000 });
  return Object.assign(service, {
    authUrl,
    contents: JSON.stringify([administrator, authUrl]),
    migrate: async () => {
      prepare();
      await manage('db_sync');
      const { user, password, project, region } = administrator;
      await manage(
        ...['bootstrap', '--bootstrap-username', user, '--bootstrap-password', password, '--bootstrap-project-name', project, '--bootstrap-region-id', region],
        ...['admin', 'internal', 'public'].flatMap((face) => [`--bootstrap-${face}-url`, authUrl]),
      );
    },
  });
}

const configuration = (directory: string, connection: string): string => `[DEFAULT]
use_stderr = true
[database]
connection = ${connection}
[fernet_tokens]
key_repository = ${directory}/fernet-keys
[fernet_receipts]
key_repository = ${directory}/fernet-keys
[credential]
key_repository = ${directory}/credential-keys
[identity]
# bcrypt's least: these passwords guard nothing, and each round doubles the time of a login.
password_hash_rounds = 4
[oslo_policy]
policy_dirs = /etc/keystone/policy.d
`;

/** Creates what keystone-manage fernet_setup creates (0: the next key, 1: the present one), without two seconds of Python. */
function makeKeys(folder: string): void {
  if (existsSync(folder)) return;
  mkdirSync(folder, { mode: 0o700 });
  for (const key of ['0', '1']) writeFileSync(join(folder, key), randomBytes(32).toString('base64').replaceAll('+', '-').replaceAll('/', '_'), { mode: 0o600 });
}
