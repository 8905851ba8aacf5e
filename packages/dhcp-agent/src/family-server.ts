// Defines what the agent's loop needs of a family's DHCP server.
import type { FamilyService, ServerAddress } from './service/service.ts';

/** The facts of a served port that the servers of all families have: the host's addresses on its tap. The server of names has none. */
export type Served = { readonly serverAddresses?: readonly ServerAddress[] };

/** The DHCP server of one family. */
export interface FamilyServer<S extends FamilyService = FamilyService, P extends Served = Served> {
  readonly family: S['family'];
  /** The served ports by tap, as on disk. */
  readonly ports: ReadonlyMap<string, P>;
  /** Whether the server answers guests now. */
  isServing(): boolean;
  /** Serves a port in this way from now on. Returns whether that changes anything. @throws what the disk refuses */
  serve(tap: string, mac: string, service: S): boolean;
  /** Ends the service of a tap. Returns whether it was served. @throws what the disk refuses */
  withdraw(tap: string): boolean;
  /**
   * Makes the server act on changes since the last call that it cannot see by itself. Returns after how many milliseconds to call it again, undefined when only a change makes that
   * necessary.
   */
  settle(nowMs: number): number | undefined;
}
