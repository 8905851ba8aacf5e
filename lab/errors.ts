export type LabErrorCode =
  | 'NOT_ROOT' // namespaces need root
  | 'BAD_OPTION' // what was asked for cannot be
  | 'PROGRAM_MISSING' // a program of the distribution or of this project is not there
  | 'LAB_EXISTS' // one of this name is up, or half up
  | 'NO_SUCH_LAB'
  | 'COMMAND_FAILED' // a program that should end well did not
  | 'ENDED_EARLY' // a service ended before it was ready
  | 'NOT_READY' // what was waited for did not come in time
  | 'API_REFUSED' // Keystone or Neutron answered an error
  | 'LEFT_OVER'; // something of the lab could not be removed

/** What failed, on what, and what to do about it; `code` is for programs. */
export class LabError extends Error {
  readonly code: LabErrorCode;

  constructor(code: LabErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'LabError';
    this.code = code;
  }
}

export const isLabError = (error: unknown, code?: LabErrorCode): error is LabError => error instanceof LabError && (code === undefined || error.code === code);
