// The log: one line for each event, with fields behind the message. It has up to three destinations, each with its own threshold.

import { type LogFile, openLogFile } from './log-file.ts';
import { printEvent, printLogLine } from './log-line.ts';
import { isOutputTheJournal, openSystemLog, type SystemLog } from './system-log.ts';

/** Calico's severities as operators write them, the least severe first. */
export const severities = ['TRACE', 'DEBUG', 'INFO', 'WARNING', 'ERROR', 'FATAL'] as const;
/** One of Calico's severities. */
export type Severity = (typeof severities)[number];

/** The fields of a line, besides its message. `err` is an error; every other field is printed as `name=value`. */
export type LogFields = { readonly err?: unknown; readonly [name: string]: unknown };

/** Logs an event of one severity. */
export interface LogAt {
  (message: string): void;
  (fields: LogFields, message: string): void;
}

/** Takes events of every severity. */
export interface Logger {
  readonly trace: LogAt;
  readonly debug: LogAt;
  readonly info: LogAt;
  readonly warn: LogAt;
  readonly error: LogAt;
  readonly fatal: LogAt;
  /** A logger whose lines have these fields before their own. */
  child(fields: LogFields): Logger;
}

/** One event, as it is handed to whatever prints or keeps it. */
export type LogEntry = { readonly severity: Severity; readonly message: string; readonly fields: LogFields };

/** Where a log goes, with the least severe events that each destination takes. */
export type LogDestinations = {
  /** The threshold of standard output; undefined when nothing goes there. */
  readonly screen?: Severity | undefined;
  /** The file and its threshold; undefined when there is none. */
  readonly file?: { readonly path: string; readonly severity: Severity } | undefined;
  /** The threshold of the system's log (journald or syslog); undefined when nothing goes there. */
  readonly system?: Severity | undefined;
};

/** What a log is opened with. */
export type LogOptions = LogDestinations & {
  /** The program's name, which every line has: `felix`, `dhcp-agent`. In the system's log it is `calico-felix` and so on. */
  readonly name: string;
  /** Opens the system's log; given by tests. */
  readonly openSystem?: (identifier: string) => SystemLog;
  /** Whether standard output leads to journald; given by tests. */
  readonly isScreenTheJournal?: boolean;
};

/** A log whose destinations can be changed. */
export interface OpenLog {
  readonly log: Logger;
  /**
   * Replaces the destinations, also of the loggers made by `child`.
   * @throws StartError LOG_UNUSABLE when the file cannot be opened; the destinations are then unchanged
   */
  configure(destinations: LogDestinations): void;
  /** Opens the file again, after a rotation by rename. */
  reopen(): void;
}

/**
 * Opens the destinations. A missing directory of the file is created.
 * @throws StartError LOG_UNUSABLE when the file cannot be opened, because an agent that cannot report anything must not start
 */
export function openLog({ name, openSystem = openSystemLog, isScreenTheJournal = isOutputTheJournal(process.env), ...initial }: LogOptions): OpenLog {
  let destinations: readonly { readonly from: number; write(text: string): unknown }[] = [];
  let system: { readonly from: number; readonly log: SystemLog } | undefined;
  /** Whether journald has the present event, so that it would have it twice if it were printed too. */
  let isInJournal = false;
  let leastSevere = Number.POSITIVE_INFINITY;
  let file: LogFile | undefined;

  function configure({ screen, file: wanted, system: systemSeverity }: LogDestinations): void {
    const before = file;
    if (wanted?.path !== before?.path) file = wanted && openLogFile(wanted.path);
    const opened = file;
    destinations = [
      ...(screen ? [{ from: severities.indexOf(screen), write: (text: string) => (isInJournal ? undefined : process.stdout.write(text)) }] : []),
      ...(wanted && opened ? [{ from: severities.indexOf(wanted.severity), write: (text: string) => opened.write(text) }] : []),
    ];
    system = systemSeverity && { from: severities.indexOf(systemSeverity), log: system?.log ?? openSystem(`calico-${name}`) };
    leastSevere = Math.min(...destinations.map(({ from }) => from), system?.from ?? Number.POSITIVE_INFINITY);
    if (before !== file) before?.close();
  }

  // Writing to standard output fails when its reader has gone (EPIPE) or its disk is full. Neither may end the agent.
  if (process.stdout.listenerCount('error', ignore) === 0) process.stdout.on('error', ignore);
  configure(initial);
  const log = loggerTo(
    (severity) => severity >= leastSevere,
    (entry) => {
      const severity = severities.indexOf(entry.severity);
      const isTaken = system !== undefined && severity >= system.from && system.log.write(entry.severity, printEvent(entry));
      isInJournal = isTaken && isScreenTheJournal;
      const line = `${printLogLine(name, new Date(), entry)}\n`;
      for (const { from, write } of destinations) if (severity >= from) write(line);
    },
  );
  return { log, configure, reopen: () => file?.reopen() };
}

const ignore = (): void => undefined;

/**
 * A logger that hands its entries to `take`.
 * @param isWanted whether entries of this severity, an index of `severities`, go anywhere; no entry is made of others
 */
function loggerTo(isWanted: (severity: number) => boolean, take: (entry: LogEntry) => void, inherited: LogFields = {}): Logger {
  const at = (severity: Severity): LogAt => {
    const number = severities.indexOf(severity);
    return (first: string | LogFields, second?: string) => {
      if (!isWanted(number)) return;
      if (typeof first === 'string') take({ severity, message: first, fields: inherited });
      else take({ severity, message: second ?? '', fields: { ...inherited, ...first } });
    };
  };
  return {
    trace: at('TRACE'),
    debug: at('DEBUG'),
    info: at('INFO'),
    warn: at('WARNING'),
    error: at('ERROR'),
    fatal: at('FATAL'),
    child: (fields) => loggerTo(isWanted, take, { ...inherited, ...fields }),
  };
}

/** A logger that prints to standard error, for programs whose output is their result. */
export const standardErrorLog = (name: string, least: Severity): Logger =>
  loggerTo(
    (severity) => severity >= severities.indexOf(least),
    (entry) => process.stderr.write(`${printLogLine(name, new Date(), entry)}\n`),
  );

/** A logger that discards everything, for tests and for programs whose output is their result. */
export const silentLog = (): Logger => loggerTo(() => false, ignore);

/** A logger that keeps its entries, for tests that check what was logged. */
export function recordingLog(): { readonly log: Logger; readonly entries: LogEntry[] } {
  const entries: LogEntry[] = [];
  return {
    log: loggerTo(
      () => true,
      (entry) => entries.push(entry),
    ),
    entries,
  };
}
