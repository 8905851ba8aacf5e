export type { WorkloadDevice } from './devices.ts';
export { applyEdits, type RejectedEdit, type TableEdit, type TableEdits, type TableName } from './edits.ts';
export { tableName } from './names.ts';
export { type ConnectionStamps, defaultRenderOptions, type RenderOptions } from './options.ts';
export { qosLimits } from './qos.ts';
export { baseTables, Renderer, type Rendering } from './renderer.ts';
export { stampSet, stampsOf } from './stamps.ts';
export { addressElement, ifnameBytes, u32 } from './statements.ts';
export { earlierAddresses, floatingToFixed, leavingAddresses } from './workloads.ts';
