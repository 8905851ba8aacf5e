// Remembers the last warning or error of a log, for those who look at the agent from outside.
import type { LogAt, LogFields, Logger } from '@calico-openstack/agent';

/** A logged warning or error, and its time in milliseconds since 1970. */
export type LastError = { readonly message: string; readonly atMs: number };

/** A logger that writes to this one, and the last warning or error that it wrote; undefined before the first. */
export function rememberErrors(log: Logger, nowMs: () => number = Date.now): { readonly log: Logger; last(): LastError | undefined } {
  let last: LastError | undefined;
  const keeping =
    (write: LogAt): LogAt =>
    (first: string | LogFields, message?: string): void => {
      last = { message: typeof first === 'string' ? first : (message ?? ''), atMs: nowMs() };
      if (typeof first === 'string') write(first);
      else write(first, message ?? '');
    };
  const wrap = (inner: Logger): Logger => ({
    trace: inner.trace,
    debug: inner.debug,
    info: inner.info,
    warn: keeping(inner.warn),
    error: keeping(inner.error),
    fatal: keeping(inner.fatal),
    child: (fields) => wrap(inner.child(fields)),
  });
  return { log: wrap(log), last: () => last };
}
