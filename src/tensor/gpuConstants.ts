/** WebGPU's flag constants that the engine uses, as plain numbers: the specification fixes them, and Node has no such globals. */

/** Bits of `GPUBufferUsage`. */
export const BufferUsage = {
  MAP_READ: 0x0001,
  MAP_WRITE: 0x0002,
  COPY_SRC: 0x0004,
  COPY_DST: 0x0008,
  UNIFORM: 0x0040,
  STORAGE: 0x0080,
  QUERY_RESOLVE: 0x0200,
} as const;

/** Bits of `GPUMapMode`. */
export const MapMode = { READ: 0x0001 } as const;

/** Bits of `GPUShaderStage`. */
export const ShaderStage = { COMPUTE: 0x4 } as const;
