// Writes events to the system's log: to journald by its native protocol (systemd.journal-fields(7)), or to syslog at /dev/log (RFC 3164) on a host without journald.
import { fstatSync } from 'node:fs';
import type { Severity } from './log.ts';
import { openDatagrams, type SendTo } from './service-manager.ts';

/** A system's log that has been opened. */
export interface SystemLog {
  /** Writes an event. Returns whether the log has taken it. @param text the message with its fields, in one line */
  write(severity: Severity, text: string): boolean;
}

/** A socket of the system's log, and its protocol. */
export type SystemLogSocket = { readonly path: string; readonly protocol: 'journal' | 'syslog' };

const sockets: readonly SystemLogSocket[] = [
  { path: '/run/systemd/journal/socket', protocol: 'journal' },
  { path: '/dev/log', protocol: 'syslog' },
];

/** Priorities of syslog(3). */
const priorities: Readonly<Record<Severity, number>> = { TRACE: 7, DEBUG: 7, INFO: 6, WARNING: 4, ERROR: 3, FATAL: 2 };
/** The facility LOG_DAEMON of syslog(3). */
const facility = 3;
/** How many events wait while the C library is being loaded. */
const mostWaiting = 1000;

/**
 * Opens the system's log. The socket is chosen anew for each event, so that a journald or syslogd that was restarted is found again. Events that no socket takes at once are lost, and
 * their number is written with the next event, because a log that does not read must not delay the agent.
 * @param identifier the program's name in the log
 * @param candidates the sockets that are tried, for tests
 */
export function openSystemLog(identifier: string, candidates = sockets): SystemLog {
  let sendTo: SendTo | undefined;
  const waiting: [Severity, string][] = [];
  let lost = 0;
  /** The socket that took the last event. */
  let last = candidates[0];

  function deliver(severity: Severity, text: string): boolean {
    for (const socket of new Set([last, ...candidates])) {
      if (!socket || !sendTo?.(socket.path, encode(socket, identifier, severity, text))) continue;
      last = socket;
      return true;
    }
    return false;
  }

  function write(severity: Severity, text: string): boolean {
    if (lost > 0 && deliver('WARNING', `the system's log did not take ${lost} events before the next one`)) lost = 0;
    const isTaken = deliver(severity, text);
    if (!isTaken) lost += 1;
    return isTaken;
  }

  void openDatagrams().then((opened) => {
    sendTo = opened;
    for (const event of waiting.splice(0)) write(...event);
  });
  return {
    write(severity, text) {
      if (sendTo) return write(severity, text);
      if (waiting.length < mostWaiting) waiting.push([severity, text]);
      else lost += 1;
      return waiting.length < mostWaiting;
    },
  };
}

/** The datagram of an event. */
function encode({ protocol }: SystemLogSocket, identifier: string, severity: Severity, text: string): Uint8Array {
  const line = text.replaceAll('\n', ' '); // a line end would begin another field
  const priority = priorities[severity];
  if (protocol === 'syslog') return Buffer.from(`<${facility * 8 + priority}>${syslogTime(new Date())} ${identifier}[${process.pid}]: ${line}`);
  return Buffer.from(`PRIORITY=${priority}\nSYSLOG_FACILITY=${facility}\nSYSLOG_IDENTIFIER=${identifier}\nSYSLOG_PID=${process.pid}\nMESSAGE=${line}\n`);
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
/** Local time as `Nov  8 09:05:03` (RFC 3164, 4.1.2). */
function syslogTime(time: Date): string {
  const two = (number: number): string => String(number).padStart(2, '0');
  return `${months[time.getMonth()]} ${String(time.getDate()).padStart(2)} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

/** Whether standard output leads to journald already: systemd names the stream's device and inode (systemd.exec(5)). */
export function isOutputTheJournal(environment: { readonly JOURNAL_STREAM?: string }): boolean {
  if (environment.JOURNAL_STREAM === undefined) return false;
  try {
    const { dev, ino } = fstatSync(1);
    return environment.JOURNAL_STREAM === `${dev}:${ino}`;
  } catch {
    return false; // standard output is closed
  }
}
