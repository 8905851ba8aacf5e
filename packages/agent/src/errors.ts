// Errors that an operator, the network or the host can cause, with a sentence for people. Any room may import this file, and no other file of this room.
import { sourceStack } from './source-stack.ts';

/**
 * An error that whoever runs the program can cause and mend. It has a code for programs and a sentence for people, and is shown without its stack.
 * Whatever else is thrown, system errors excepted, is a fault of ours and is shown with its stack.
 */
export class CodedError extends Error {
  readonly code: string;
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** The reason why a start must not go on. The sentence is for the person who started the program, and says what to do. */
export class StartError extends CodedError {}

/** Ends the agent because a new configuration takes effect only with a restart. The exit code is 129, which Calico's supervisors know. */
export class RestartNeeded extends CodedError {
  constructor(message: string) {
    super('RESTART_NEEDED', message);
  }
}

/** Whether the error is a failed system call. Its code is then the name of an errno. */
const isSystemError = (error: unknown): error is NodeJS.ErrnoException => error instanceof Error && 'syscall' in error && 'code' in error;

/** Whether the error's message says all that helps. Any other error is a fault of ours, and its stack is needed. */
export const isSentence = (error: unknown): boolean => error instanceof CodedError || isSystemError(error);

/** The text for an error that ends a process or a step: its sentence, or its stack if it is a fault of ours. */
export function shownError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return isSentence(error) ? error.message : sourceStack(error.stack ?? error.message);
}

/**
 * Ends a switch over a union. A kind without a case does not compile.
 * @throws TypeError when a value that the types do not allow gets here at run time
 */
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

/** The reason why a file cannot be used, as the end of a sentence that has named the file. */
export function fileReason(error: unknown): string {
  const known = isSystemError(error) ? fileReasons[error.code ?? ''] : undefined;
  if (known !== undefined) return `${known} (${(error as NodeJS.ErrnoException).code})`;
  return error instanceof Error ? error.message : String(error);
}
