// Errors that are sentences: what an operator, the network or the host can cause. Any room may import this file alone.
import { sourceStack } from './source-stack.ts';

/**
 * An error that somebody who runs this can cause and mend: a code for programs, a sentence for people, and no stack where it is shown.
 * Whatever is thrown that is neither this nor a system error is a fault of ours, and is shown with its stack.
 */
export class CodedError extends Error {
  readonly code: string;
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** A start that must not go on. The sentence is for the person who started it, and says what to do. */
export class StartError extends CodedError {}

/** The agent ends in order to be started again, with a configuration that it cannot take live. Exit code 129, which supervisors of Calico know. */
export class RestartNeeded extends CodedError {
  constructor(message: string) {
    super('RESTART_NEEDED', message);
  }
}

/** Whether a call of the operating system failed: its code is an errno's name, and the call is named. */
const isSystemError = (error: unknown): error is NodeJS.ErrnoException => error instanceof Error && 'syscall' in error && 'code' in error;

/** Whether the error says all that helps. Of any other, a fault of ours, the stack does. */
export const isSentence = (error: unknown): boolean => error instanceof CodedError || isSystemError(error);

/** What is shown of an error that ends a process or a step: its sentence, or a fault's stack. */
export function shownError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return isSentence(error) ? error.message : sourceStack(error.stack ?? error.message);
}

/** The end of a switch over a union: a kind without a case is an error of the compiler's, and where types did not reach, of the program's, and never nothing. */
export function unreachable(value: never): never {
  throw new TypeError(`there is no case for ${JSON.stringify(value)}`);
}

const fileReasons: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist',
  EACCES: 'this process has no right to it',
  EPERM: 'this process has no right to it',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of its path is no directory',
  EEXIST: 'a part of its path is no directory',
  ENOSPC: 'its file system is full',
  EROFS: 'its file system can only be read',
  ELOOP: 'its path has a circle of symbolic links',
  ENAMETOOLONG: 'its name is too long',
};

/** Why a file cannot be used, as the end of a sentence that has named it. */
export function fileReason(error: unknown): string {
  const known = isSystemError(error) ? fileReasons[error.code ?? ''] : undefined;
  if (known !== undefined) return `${known} (${(error as NodeJS.ErrnoException).code})`;
  return error instanceof Error ? error.message : String(error);
}
