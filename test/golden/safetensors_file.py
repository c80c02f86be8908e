"""Writes safetensors.golden.ts: a small file made by Python's safetensors, with what it holds. Run: python safetensors_file.py"""

import base64
import json
from pathlib import Path

import torch
from safetensors.torch import save

tensors = {
    "f64": torch.tensor([[0.1, -2.5e300], [5e-324, 0.0]], dtype=torch.float64),
    "f32": torch.tensor([0.1, -3.0, 1e-45], dtype=torch.float32),
    "f16": torch.tensor([0.1, -2.0, 65504.0, 6e-8, float("inf"), 6.1e-5], dtype=torch.float16),
    "bf16": torch.tensor([[0.1, -2.0, 3e38]], dtype=torch.bfloat16),
    "i64": torch.tensor([-(2**62), 7]),
    "i32": torch.tensor([[-5], [2147483647]], dtype=torch.int32),
    "u32": torch.tensor([4294967295, 1], dtype=torch.uint32),
    "u8": torch.tensor([255, 0, 3], dtype=torch.uint8),
    "bool": torch.tensor([True, False, True]),
    "scalar": torch.tensor(1.5),
    "empty": torch.zeros(0, 3),
    'odd "name" \u00e9\n': torch.tensor([1.0]),
}
data = save(tensors, metadata={"format": "pt", "note": "caf\u00e9"})
expected = {}
for name, tensor in tensors.items():
    values = tensor.double() if tensor.is_floating_point() else tensor
    flat = ["inf" if v == float("inf") else v if abs(v) < 2**53 or tensor.is_floating_point() else str(v) for v in values.flatten().tolist()]
    expected[name] = {"shape": list(tensor.shape), "values": flat}
text = f"""// Written by safetensors_file.py.
export const file = "{base64.b64encode(data).decode()}";
export const expected: Record<string, {{ shape: number[]; values: (number | string | boolean)[] }}> = {json.dumps(expected)};
"""
Path(__file__).with_name("safetensors.golden.ts").write_text(text)
