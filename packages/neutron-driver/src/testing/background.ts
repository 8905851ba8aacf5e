// A rows process over a small database, for tests.
import type { Background } from '../sources.ts';
import type { Database } from './database.ts';
import { ownsAll } from './settings.ts';

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
  ...stampsOver(db),
  portsOf: async (of, id) => [...db.tables.ports.values()].filter((port) => of === 'network' && port.network_id === id).map((port) => port.id),
  setPortStatus: notAsked,
  setFloatingIpStatus: notAsked,
  notifyPortActive: notAsked,
  notCarriedOut: async () => [],
  reportAgents: notAsked,
});

/** Answers for stamps. A port's is its own row with its floating IPs; Neutron's, a revision, is another one after each change of those. */
export const stampsOver = (db: Database): Pick<Background, 'sharedStamp' | 'portStamps'> => ({
  sharedStamp: async () => {
    const { networks, security_groups, subnets, qos_policies } = db.read({
      ports: db.ids('ports'),
      subnets: db.ids('subnets'),
      security_groups: db.ids('security_groups'),
      address_groups: [],
    });
    return JSON.stringify([networks, security_groups.map(({ id, name }) => [id, name]), subnets, qos_policies]);
  },
  portStamps: async (after, limit) => {
    const ids = db.ids('ports').filter((id) => id > after && ownsAll(db.tables.ports.get(id)));
    return ids.slice(0, limit).map((id) => [id, JSON.stringify([db.tables.ports.get(id), db.floatingIps.filter((ip) => ip.fixed_port_id === id)])]);
  },
});
