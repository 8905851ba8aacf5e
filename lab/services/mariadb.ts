import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Machine } from '../plan.ts';
import type { Processes, Service } from '../process.ts';
import { until } from '../wait.ts';

/** The lab's MariaDB. */
export interface MariaDb extends Service {
  readonly data: string;
  /** Everything except MariaDB's version on which its data depend. */
  readonly contents: string;
  /** The URL of a database for SQLAlchemy. */
  connection(database: string): string;
  /** Runs one SQL statement and returns its rows, with columns separated by tabs. */
  sql(statement: string): Promise<string>;
}

/** Describes MariaDB with a data directory of its own, reached by a UNIX socket only. Nothing in it outlives the lab, so nothing is synced to disk. */
export function mariaDbService(processes: Processes, on: Machine): MariaDb {
  const name = 'control/mariadb';
  const directory = join(processes.directory, name);
  const options = join(directory, 'my.cnf');
  const data = join(directory, 'data');
  const socket = join(directory, 'sock');
  const sql = (statement: string): Promise<string> =>
    processes.run('mariadb', [`--defaults-file=${options}`, '--batch', '--skip-column-names'], { input: statement });
  const service = processes.service({
    name,
    on,
    command: 'mariadbd',
    args: [`--defaults-file=${options}`],
    prepare: async () => {
      mkdirSync(directory, { recursive: true });
      writeFileSync(options, optionFile(data, socket));
      rmSync(socket, { force: true }); // the socket of a killed server would look ready
      if (existsSync(data)) return;
      await processes.run('mariadb-install-db', [`--defaults-file=${options}`, '--user=root', '--auth-root-authentication-method=normal', '--skip-test-db']);
    },
    ready: async (hopeful) => {
      await until('a connection to MariaDB', () => reaches(socket), { hopeful });
    },
  });
  return Object.assign(service, {
    sql,
    data,
    contents: optionFile('', ''),
    connection: (database: string) => `mysql+pymysql://root@localhost/${database}?unix_socket=${socket}&charset=utf8`,
  });
}

const optionFile = (data: string, socket: string): string => `[client]
socket = ${socket}
user = root

[mariadbd]
datadir = ${data}
socket = ${socket}
pid-file = ${data}/pid
user = root
skip-networking
skip-name-resolve
skip-log-bin
performance-schema = off
max-connections = 200
innodb-buffer-pool-size = 64M
innodb-log-file-size = 8M
innodb-flush-log-at-trx-commit = 0
innodb-flush-method = nosync
innodb-doublewrite = off
sync-frm = off
`;

/** Resolves to true when somebody listens on the socket; rejects otherwise. */
export function reaches(socket: string): Promise<true> {
  return new Promise((resolve, reject) => {
    const connection = connect(socket);
    connection.once('error', reject);
    connection.once('connect', () => {
      connection.destroy();
      resolve(true);
    });
  });
}
