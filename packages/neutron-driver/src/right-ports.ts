// Remembers which ports a resync found right, so that the next one reads in depth only those of which Neutron's revision or etcd's has changed since.
import { isDeepStrictEqual } from 'node:util';
import type { AddressRules } from './addressing/rules.ts';
import type { ProjectNames } from './projects.ts';
import type { Rows } from './rows.ts';

/** What all endpoints depend on. Where any of it differs, every port has to be read. */
export type Common = {
  /** Neutron's part (`Background.sharedStamp`). */
  readonly stamp: string;
  readonly felixConfiguration: number | undefined;
  /** The rules for addresses, and the addresses of the cloud's own. */
  readonly rules: readonly [AddressRules['policy'], AddressRules['infrastructure']['addresses']];
};

type Pass = {
  readonly common: Common;
  /** etcd's revision before the pass. */
  readonly etcdRevision: number;
  /** The name of each project, as JSON. */
  readonly projects: ReadonlyMap<string, string>;
  /** The ports that were right, each with its state: Neutron's stamp of it, and the revisions of its keys in etcd. */
  readonly ports: ReadonlyMap<string, string>;
};

/** The memory of a process. It is empty at first: the first resync of a process reads everything. */
export interface RightPorts {
  /** The projects whose names the remembered endpoints contain. */
  readonly projects: readonly string[];
  /** Begins a pass. `common` is undefined when Neutron counts no revisions: nothing is remembered then. */
  begin(common: Common | undefined, etcdRevision: number, projects: ProjectNames): RightPortsPass;
  /** Forgets everything: etcd's revisions may count anew, or an operator has changed Neutron's database by hand. */
  forget(): void;
}

/** One pass of a resync over all ports. */
export interface RightPortsPass {
  /** Whether any port may be known to be right. */
  readonly warm: boolean;
  /** Whether a port with this state was found right, and is it still. */
  isRight(id: string, state: string): boolean;
  /** Records which of these ports were right with these states, which were read before their rows. */
  compared(right: readonly string[], states: ReadonlyMap<string, string>, rows: Rows, projects: ProjectNames): void;
  /** Makes the next pass begin with what this one found. */
  end(): void;
}

const nameOf = (projects: ProjectNames, id: string): string | undefined => (projects.has(id) ? JSON.stringify(projects.get(id) ?? null) : undefined);

/** Creates an empty memory. */
export function createRightPorts(): RightPorts {
  let last: Pass | undefined;

  function begin(common: Common | undefined, etcdRevision: number, names: ProjectNames): RightPortsPass {
    const before = last;
    const same =
      before !== undefined &&
      before.etcdRevision <= etcdRevision && // a smaller one is another history, in which a revision says nothing
      isDeepStrictEqual(before.common, common) &&
      [...before.projects].every(([id, name]) => nameOf(names, id) === name);
    const known: Pass['ports'] = same ? before.ports : new Map();
    const ports = new Map<string, string>();
    const projects = new Map<string, string>(same ? before.projects : []);
    let renamed = false;
    return {
      warm: known.size > 0,
      isRight(id, state) {
        if (known.get(id) !== state) return false;
        ports.set(id, state);
        return true;
      },
      compared(right, states, rows, read) {
        // The floating IPs of such a port depend on other ports.
        const leaders = new Set(rows.ports.filter((port) => port.allowed_address_pairs.length > 0).map(({ id }) => id));
        for (const id of right) {
          const state = states.get(id);
          if (state !== undefined && !leaders.has(id)) ports.set(id, state);
        }
        for (const { project_id: id } of rows.ports) {
          const name = nameOf(read, id);
          if (name === undefined) continue;
          renamed ||= (projects.get(id) ?? name) !== name;
          projects.set(id, name);
        }
      },
      end() {
        last = common === undefined || renamed ? undefined : { common, etcdRevision, projects, ports };
      },
    };
  }

  return {
    get projects() {
      return [...(last?.projects.keys() ?? [])];
    },
    begin,
    forget: () => {
      last = undefined;
    },
  };
}
