// A rows process over a small database, for tests.
import type { Background } from '../sources.ts';
import type { Database } from './database.ts';

const notAsked = (): Promise<never> => Promise.reject(new Error('not asked for'));

/** Answers from the database as it is at the moment of the request. A test that expects calls which write replaces those functions. */
export const backgroundOver = (db: Database): Background => ({
  ...db.source,
  page: async (kind, after, limit) => {
    const ids = db
      .ids(kind)
      .filter((id) => id > after)
      .slice(0, limit);
    return { ids, rows: db.read({ ports: [], subnets: [], security_groups: [], address_groups: [], [kind]: ids }) };
  },
  portsOf: async (of, id) => [...db.tables.ports.values()].filter((port) => of === 'network' && port.network_id === id).map((port) => port.id),
  setPortStatus: notAsked,
  setFloatingIpStatus: notAsked,
  notifyPortActive: notAsked,
  notCarriedOut: async () => [],
  reportAgents: notAsked,
});
