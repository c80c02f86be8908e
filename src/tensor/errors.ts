/**
 * The named errors of naysay. Every message reads `<op>: <what was expected>, got <what came>. <remedy>`.
 * None shares a name with a builtin, so `error.name` alone tells them apart across realms and workers.
 */

/** Base of all of naysay's errors; `cause` keeps what lies beneath. */
export class NaysayError extends Error {
  override name = "NaysayError";
}

/** Shapes that do not fit together. */
export class ShapeError extends NaysayError {
  override name = "ShapeError";
}

/** A dtype that the operation does not take. */
export class DTypeError extends NaysayError {
  override name = "DTypeError";
}

/** No adapter, no device, or an uncaptured error of the WebGPU implementation. */
export class DeviceError extends NaysayError {
  override name = "DeviceError";
}

/** The device was lost (reset, unplugged, destroyed): start a fresh one from the last checkpoint. */
export class DeviceLostError extends NaysayError {
  override name = "DeviceLostError";
}

/** A kernel that the WebGPU implementation, or reflection, refused. */
export class ShaderError extends NaysayError {
  override name = "ShaderError";
}

/** A program whose planned memory exceeds the budget, or a tensor larger than the device can bind. */
export class MemoryBudgetError extends NaysayError {
  override name = "MemoryBudgetError";
}

/** A kernel whose result is NaN or infinite, found under NAN=1. */
export class NonFiniteError extends NaysayError {
  override name = "NonFiniteError";
}

/** A tensor that was used after its release, or an argument that is no usable value. */
export class TensorError extends NaysayError {
  override name = "TensorError";
}

/** A checkpoint or safetensors file that is truncated, hostile or does not fit the model. */
export class CheckpointError extends NaysayError {
  override name = "CheckpointError";
}

/** A configuration with unknown keys or values out of range. */
export class ConfigError extends NaysayError {
  override name = "ConfigError";
}
