// Makes the report of `--check-config`: the options in force, the place on this host or in the datastore where each is set, and complaints.
import { type Clock, within } from '../clock.ts';
import { CodedError, shownError } from '../errors.ts';
import type { Table } from './option.ts';
import { type Complaint, complaintText, optionsInForce, type Resolution } from './resolve.ts';

/** The datastore's part of an agent's options. */
export type InDatastore = {
  /** The options as the running agent would have them, with the datastore's sources among the others. Left out where the datastore sets no option. */
  readonly resolution?: Resolution<Table>;
  /** Other values of the datastore that decide what the agent does, one line each: `spec.asNumber = 64512 (BGPConfiguration default)`. */
  readonly lines: readonly string[];
  /** Complaints for whoever has written to the datastore. */
  readonly complaints: readonly Complaint[];
};

/** The report. */
export type CheckReport = {
  /** The options in force, one line each. */
  readonly inForce: readonly string[];
  /** The complaints, each a sentence; empty when there are none. */
  readonly complaints: readonly string[];
};

/** How an agent reads its options: fields of `ExecutableOptions`. */
export type Readers = {
  readonly readOptions: (configFiles: readonly string[]) => Resolution<Table>;
  readonly verify?: (configFiles: readonly string[]) => void | Promise<void>;
  readonly readDatastore?: (configFiles: readonly string[]) => Promise<InDatastore>;
};

/** How long the datastore may take, in milliseconds. */
const datastoreLimitMs = 10_000;

/**
 * Reads everything, and changes nothing. The datastore is read when the options on this host would let the agent start. When it does not answer in time, that is a complaint, and
 * the report has the options of this host.
 */
export async function checkReport(
  { readOptions, verify, readDatastore }: Readers,
  configFiles: readonly string[],
  clock: Pick<Clock, 'pause'>,
): Promise<CheckReport> {
  let local: Resolution<Table>;
  try {
    local = readOptions(configFiles);
  } catch (error) {
    return { inForce: [], complaints: [shownError(error)] };
  }
  const here = { inForce: optionsInForce(local), complaints: local.complaints.map(complaintText) };
  if (local.complaints.some(({ stops }) => stops)) return here;
  try {
    await verify?.(configFiles);
  } catch (error) {
    return { ...here, complaints: [...here.complaints, shownError(error)] };
  }
  if (!readDatastore) return here;
  try {
    const { resolution, lines, complaints } = await within(readDatastore(configFiles), datastoreLimitMs, clock, tooLate);
    return {
      inForce: [...optionsInForce(resolution ?? local), ...lines],
      complaints: [...new Set([...here.complaints, ...(resolution?.complaints ?? []).map(complaintText), ...complaints.map(complaintText)])],
    };
  } catch (error) {
    return { ...here, complaints: [...here.complaints, `the datastore has not been read, so the report covers this host alone: ${shownError(error)}`] };
  }
}

const tooLate = (): Error =>
  new CodedError('DATASTORE_SILENT', `etcd has not answered within ${datastoreLimitMs / 1000} s; see whether its address is right and whether it is up`);
