// Prints an event as a line of the log: `2026-08-22 10:00:00.123 [INFO][42] felix: message field=value`. Pure, except that it takes the process's number and reads source maps.
import { isSentence } from './errors.ts';
import type { LogEntry } from './log.ts';
import { sourceStack } from './source-stack.ts';

/** One line without its line end: local time, severity, process, name, then the event. */
export function printLogLine(name: string, time: Date, entry: LogEntry): string {
  const local = new Date(time.getTime() - time.getTimezoneOffset() * 60_000).toISOString();
  return `${local.slice(0, 10)} ${local.slice(11, 23)} [${entry.severity}][${process.pid}] ${name}: ${printEvent(entry)}`;
}

/**
 * The message of an event, then its fields, in one line. Text with blanks is quoted, so that a program can find where a field ends.
 * An error is printed as its code and its sentence, and a fault of ours with its stack as well.
 */
export function printEvent({ severity, message, fields }: LogEntry): string {
  const { err, ...others } = fields;
  const parts = [oneLine(message)];
  for (const [field, value] of Object.entries(others)) if (value !== undefined) parts.push(`${field}=${printValue(value)}`);
  if (err !== undefined && err !== null) parts.push(...printError(err, severity === 'ERROR' || severity === 'FATAL'));
  return parts.join(' ');
}

/** An error's fields. The stack is left out of an error whose sentence says all that helps. */
function printError(error: unknown, isSevere: boolean): string[] {
  if (typeof error !== 'object') return [`error=${printValue(error)}`];
  const { code, message, stack } = error as { readonly code?: unknown; readonly message?: unknown; readonly stack?: unknown };
  const isFault = error instanceof Error && !isSentence(error);
  return [
    ...(code === undefined ? [] : [`code=${printValue(code)}`]),
    `error=${printValue(
      isFault
        ? causes(error)
            .map((each) => each.message)
            .join(': ')
        : message,
    )}`,
    ...(isFault && isSevere
      ? [
          `stack=${printValue(
            causes(error)
              .map((each) => sourceStack(each.stack ?? each.message))
              .join('\ncaused by: '),
          )}`,
        ]
      : []),
    ...(!(error instanceof Error) && isSevere && stack !== undefined ? [`stack=${printValue(stack)}`] : []),
  ];
}

/** The error, what caused it, what caused that, and so on. */
function causes(error: Error): Error[] {
  const found: Error[] = [];
  for (let each: unknown = error; each instanceof Error && !found.includes(each); each = each.cause) found.push(each);
  return found;
}

/** Text as one line of bounded length. Messages quote text of others: a line end in it would forge a log line, and a key of etcd may have a million characters. */
const oneLine = (text: string): string => cut(text).replaceAll(/[\p{Cc}]/gu, ' ');
const cut = (text: string): string => (text.length > textMax ? `${text.slice(0, textMax)}… (${text.length} characters)` : text);
const textMax = 4000;

function printValue(value: unknown): string {
  if (typeof value === 'string') {
    const text = cut(value);
    return /^[-\w./:,%@+]+$/.test(text) ? text : JSON.stringify(text);
  }
  return typeof value === 'object' && value !== null ? cut(json(value)) : String(value);
}

/** JSON, or the reason why there is none. An object with a cycle or a bigint must not end the agent that logs it. */
function json(value: object): string {
  try {
    return JSON.stringify(value) ?? 'undefined';
  } catch (error) {
    return `(cannot be printed: ${(error as Error).message.split('\n')[0]})`;
  }
}
