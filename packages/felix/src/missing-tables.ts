// Makes the tables of rules that are missing on the host: closed ones before the datastore is known, and again each one that another program has removed.
import type { Logger } from '@calico-openstack/agent';
import { type TableName, tableName } from '@calico-openstack/render';
import type { Dataplane } from './dataplane.ts';
import type { Stamping } from './stamping.ts';

/** What `MissingTables` works with. */
export type MissingTablesParts = {
  readonly dataplane: Pick<Dataplane, 'closeWhatIsOpen' | 'missingTables' | 'putBack'>;
  readonly stamping: Pick<Stamping, 'rulesGone'>;
  /** Whether another Felix's rules police the host now. */
  readonly anotherPolices: () => boolean;
  /** The prefixes of workloads' interfaces, for the log. */
  readonly interfacePrefixes: () => readonly string[];
  readonly log: Logger;
};

/** Makes missing tables. */
export class MissingTables {
  readonly #parts: MissingTablesParts;

  constructor(parts: MissingTablesParts) {
    this.#parts = parts;
  }

  /** Whether a table is missing. */
  get areAny(): boolean {
    return this.#parts.dataplane.missingTables().length > 0;
  }

  /** Creates the tables that an earlier run of the agent has not left. They let nothing pass from and to workloads. */
  makeClosed(): void {
    this.#logClosed(this.#parts.dataplane.closeWhatIsOpen());
  }

  /**
   * Creates the tables again that another program has removed, whether etcd can be reached or not.
   * @param isProgrammed whether the datastore has been read and our rules have been in force. Before that, another Felix's rules may police the host instead of ours, and nothing is closed while they do.
   */
  putBack(isProgrammed: boolean): void {
    const { dataplane, stamping, anotherPolices, log } = this.#parts;
    const missing = dataplane.missingTables();
    if (missing.length === 0 || (!isProgrammed && anotherPolices())) return;
    log.warn({ tables: printTables(missing) }, 'somebody else has removed the rules of Felix; they are installed again; find out which program did it');
    if (missing.includes('inet')) stamping.rulesGone();
    dataplane.putBack(missing);
    if (!isProgrammed) this.#logClosed(missing);
  }

  #logClosed(made: readonly TableName[]): void {
    if (made.length === 0) return;
    const interfaces = this.#parts
      .interfacePrefixes()
      .map((prefix) => `${prefix}*`)
      .join(',');
    this.#parts.log.info(
      { tables: printTables(made), interfaces },
      'the host had no rules of Felix: packets from and to these interfaces are dropped until the datastore is known',
    );
  }
}

const printTables = (names: readonly TableName[]): string => names.map((name) => `${name} ${tableName}`).join(',');
