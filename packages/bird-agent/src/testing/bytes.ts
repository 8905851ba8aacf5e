// Encodes resources for tests.

/** A resource's value with this spec. */
export const bytes = (spec: unknown, metadata: object = {}): Uint8Array => new TextEncoder().encode(JSON.stringify({ metadata, spec }));
