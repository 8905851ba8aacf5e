export { startDriver } from './driver.ts';
export { defaultConfigFiles, driverOptions, type Options, readOptions } from './option-table.ts';
