// From the sources, in order of precedence, to the values in force.
import { StartError, shownValue } from '@calico-openstack/agent';
import { type FelixConfig, type Parameter, type ParameterName, parameterNamed, parameters } from './parameters.ts';
import type { Source } from './sources.ts';

/** A value that was not taken, and what was done instead. */
export type Complaint = { readonly parameter: string; readonly source: string; readonly value: string; readonly problem: string };

export type Resolution = {
  readonly config: FelixConfig;
  readonly complaints: readonly Complaint[] /** Who set what is not a default. */;
  readonly setBy: ReadonlyMap<ParameterName, string>;
};

/**
 * @param sources the first that has a good value for a parameter wins
 * @param lastGood for parameters that must not be wrong: what stays when they are (at run time). undefined: they stop the start.
 * @throws StartError
 */
export function resolveConfig(sources: readonly Source[], lastGood?: FelixConfig): Resolution {
  const complaints: Complaint[] = [];
  const values = new Map<ParameterName, unknown>();
  const setBy = new Map<ParameterName, string>();
  for (const source of sources) {
    for (const [name, text] of source.values) {
      const known = parameterNamed(name);
      if (!known || values.has(known) || text === '') continue;
      const parameter: Parameter<unknown> = parameters[known];
      const complain = (problem: string): void => void complaints.push({ parameter: known, source: source.name, value: shownValue(known, text), problem });
      if (parameter.local && source.fromDatastore) {
        complain('can be set by environment or file only; ignored');
        continue;
      }
      const outcome = read(parameter, text);
      if (outcome.ok) {
        values.set(known, outcome.value);
        setBy.set(known, source.name);
      } else if (!parameter.dieOnFail) complain(`must be ${outcome.expected}; the next source's value or the default is used`);
      else if (lastGood) {
        complain(`must be ${outcome.expected}; the last good value stays`);
        values.set(known, lastGood[known]);
      } else {
        throw new StartError(
          'CONFIG_INVALID',
          `${known} is "${shownValue(known, text)}" in ${source.name}, and must be ${outcome.expected}. Correct it there, then start again.`,
        );
      }
    }
  }
  const config = Object.fromEntries(
    Object.entries(parameters).map(([name, parameter]) => [name, values.has(name as ParameterName) ? values.get(name as ParameterName) : parameter.default]),
  );
  return { config: config as FelixConfig, complaints, setBy };
}

function read(parameter: Parameter<unknown>, text: string): ReturnType<Parameter<unknown>['parse']> {
  if (text.toLowerCase() === 'none' && (parameter.notNone || 'whenNone' in parameter || parameter.default === undefined)) {
    return parameter.notNone ? { ok: false, expected: 'set to something' } : { ok: true, value: parameter.whenNone };
  }
  return parameter.parse(text);
}
