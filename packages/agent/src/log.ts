// One event a line, fields behind the message. Several destinations, each with its own threshold.
import { dirname } from 'node:path';
import { type DestinationStream, destination, type Level, type Logger, pino } from 'pino';
import { fileReason, isSentence, StartError } from './errors.ts';
import { makeDirectory } from './make-directory.ts';

export type { Logger } from 'pino';

/** Calico's severities, as operators write them. */
export const severities = ['TRACE', 'DEBUG', 'INFO', 'WARNING', 'ERROR', 'FATAL'] as const;
export type Severity = (typeof severities)[number];

const levels: Readonly<Record<Severity, Level>> = { TRACE: 'trace', DEBUG: 'debug', INFO: 'info', WARNING: 'warn', ERROR: 'error', FATAL: 'fatal' };
const severityOfLevel: Readonly<Record<number, Severity>> = { 10: 'TRACE', 20: 'DEBUG', 30: 'INFO', 40: 'WARNING', 50: 'ERROR', 60: 'FATAL' };

export type LogDestinations = {
  /** Standard output. undefined: nothing goes there. */
  readonly screen?: Severity | undefined;
  readonly file?: { readonly path: string; readonly severity: Severity } | undefined;
};

export type LogOptions = LogDestinations & {
  /** Stands in every line: `felix`, `dhcp-agent`. */
  readonly name: string;
};

export interface OpenLog {
  readonly log: Logger;
  /**
   * The destinations are these from now on. Children that were made of the log before keep its threshold of then.
   * @throws when the file cannot be opened: then those of before stay
   */
  configure(destinations: LogDestinations): void;
  /** Follows a rotation by rename. */
  reopen(): void;
  flush(): void;
}

type Destination = { readonly level: Level; readonly to: { write(text: string): unknown } };
type OpenFile = { readonly path: string; readonly stream: ReturnType<typeof destination> };

/**
 * Opens the destinations. The file's directory is made where it is missing.
 * @throws StartError LOG_UNUSABLE when the file cannot be opened: an agent that cannot say anything must not start
 */
export function openLog({ name, ...initial }: LogOptions): OpenLog {
  let destinations: readonly Destination[] = [];
  let file: OpenFile | undefined;
  /** A line for people for each of pino's lines of JSON: `2026-08-22 10:00:00.123 [INFO][42] felix: message field=value`. */
  const stream: DestinationStream = {
    write(json) {
      const entry = JSON.parse(json) as Record<string, unknown>;
      const text = `${formatLine(entry)}\n`;
      for (const { level, to } of destinations) if ((entry['level'] as number) >= severityValue(level)) to.write(text);
    },
  };
  const log = pino({ name, level: 'silent', base: { pid: process.pid }, serializers: { err: serialized } }, stream);

  function configure({ screen, file: wanted }: LogDestinations): void {
    const before = file;
    if (wanted?.path !== before?.path) file = wanted && openFile(wanted.path);
    destinations = [
      ...(screen ? [{ level: levels[screen], to: process.stdout }] : []),
      ...(wanted && file ? [{ level: levels[wanted.severity], to: file.stream }] : []),
    ];
    log.level = destinations.map(({ level }) => level).sort((one, other) => severityValue(one) - severityValue(other))[0] ?? 'silent';
    if (before && before !== file) before.stream.end();
  }

  // Whoever read it is gone (EPIPE), or the disk that it goes to is full.
  if (process.stdout.listenerCount('error', ignore) === 0) process.stdout.on('error', ignore);
  configure(initial);
  return { log, configure, reopen: () => file?.stream.reopen(), flush: () => file?.stream.flushSync() };
}

/** A stack helps only with a fault of ours: what is a sentence goes without. */
function serialized(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { stack, ...rest } = pino.stdSerializers.err(error);
  return isSentence(error) ? { ...rest, message: error.message } : { ...rest, stack };
}

const ignore = (): void => undefined;
const severityValue = (level: Level): number => pino.levels.values[level]!;

/** While the file cannot be written (a full disk), lines are lost after this many bytes, never the agent: it goes on, and says so on standard error. */
const keptBytes = 1024 * 1024;
const complaintPauseMs = 60_000;

/** @throws StartError LOG_UNUSABLE */
function openFile(path: string): OpenFile {
  let stream: OpenFile['stream'];
  try {
    makeDirectory(dirname(path));
    stream = destination({ dest: path, append: true, mkdir: true, sync: true, mode: 0o644, maxLength: keptBytes });
  } catch (error) {
    throw new StartError('LOG_UNUSABLE', `cannot write the log file ${path}: ${fileReason(error)}; name another file, or none, in the configuration`, {
      cause: error,
    });
  }
  let toldMs = Number.NEGATIVE_INFINITY;
  stream.on('error', (error: Error) => {
    if (performance.now() - toldMs < complaintPauseMs) return;
    toldMs = performance.now();
    process.stderr.write(`cannot write the log file ${path}: ${error.message}; lines may be lost\n`);
  });
  return { path, stream };
}

/** Local time, severity, process, name, message, then the fields; text with blanks is quoted, so that a field's end can always be found. */
export function formatLine(entry: Record<string, unknown>): string {
  const { level, time, pid, name, msg, err, ...fields } = entry;
  const date = new Date(time as number);
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString();
  const parts = [`${local.slice(0, 10)} ${local.slice(11, 23)} [${severityOfLevel[level as number] ?? level}][${pid}] ${name}: ${oneLine(String(msg ?? ''))}`];
  for (const [field, value] of Object.entries(fields)) parts.push(`${field}=${formatValue(value)}`);
  if (err && typeof err === 'object') {
    const { code, message } = err as { code?: unknown; message?: unknown };
    if (code !== undefined) parts.push(`code=${formatValue(code)}`);
    parts.push(`error=${formatValue(message)}`);
    const { stack } = err as { stack?: unknown };
    if (stack !== undefined && (level as number) >= 50) parts.push(`stack=${formatValue(stack)}`);
  }
  return parts.join(' ');
}

/** A message cannot begin a second line, whatever it quotes, and what it quotes cannot fill the disk: a key of etcd may have a million characters. */
const oneLine = (text: string): string => cut(text).replaceAll(/[\p{Cc}]/gu, ' ');
const cut = (text: string): string => (text.length > textMax ? `${text.slice(0, textMax)}… (${text.length} characters)` : text);
const textMax = 4000;

function formatValue(value: unknown): string {
  if (typeof value === 'string') {
    const text = cut(value);
    return /^[-\w./:,%@+]+$/.test(text) ? text : JSON.stringify(text);
  }
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : cut(JSON.stringify(value) ?? 'undefined');
}

/** A log that goes nowhere, for tests. */
export const silentLog = (): Logger => pino({ level: 'silent' });

/** A log that keeps its entries, for tests that ask what was said. */
export function recordingLog(): { readonly log: Logger; readonly entries: Record<string, unknown>[] } {
  const entries: Record<string, unknown>[] = [];
  return { log: pino({ level: 'trace' }, { write: (json: string) => entries.push(JSON.parse(json) as Record<string, unknown>) }), entries };
}
