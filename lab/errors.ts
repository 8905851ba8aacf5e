// The errors of a lab: codes for programs, sentences for people.

/** The kinds of failure. */
export type LabErrorCode =
  | 'NOT_ROOT' // namespaces need root
  | 'BAD_OPTION' // an option or a name is not possible
  | 'PROGRAM_MISSING' // a program of the distribution or of this project is missing
  | 'LAB_EXISTS' // a lab of this name is up, or half up
  | 'NO_SUCH_LAB'
  | 'COMMAND_FAILED' // a command failed
  | 'ENDED_EARLY' // a service ended before it was ready
  | 'NOT_READY' // something did not happen in time
  | 'API_REFUSED' // Keystone or Neutron answered with an error
  | 'REGISTRY_AWAY' // PyPI does not answer, or too slowly
  | 'LEFT_OVER'; // something of the lab could not be removed

/** A failure of the lab. The message says what failed, on what, and what to do. */
export class LabError extends Error {
  readonly code: LabErrorCode;

  constructor(code: LabErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'LabError';
    this.code = code;
  }
}

/** Whether an error is a LabError (with this code, if one is given). */
export const isLabError = (error: unknown, code?: LabErrorCode): error is LabError => error instanceof LabError && (code === undefined || error.code === code);
