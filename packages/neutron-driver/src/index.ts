export { startDriver } from './driver.ts';
export { defaultConfigFiles, type Options, parseOptions, readOptions } from './options.ts';
