export { startDriver } from './driver.ts';
export { driverOptions, type Options, readOptions } from './option-table.ts';
