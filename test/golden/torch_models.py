"""Golden files of tiny random models from Hugging Face transformers, computed in float64.

For each model folder beside this script:
  config.json          in Hugging Face form
  model.safetensors    the initial weights under their Hugging Face names, F32
  golden.safetensors   input_ids [3, 13] I32, targets [3, 13] I32, mask [3, 13] F32 (weights of the completion
                       tokens), logits [3, 13, V] F64, loss [] F64, adam_losses [11] F64 (before each of ten AdamW
                       steps, and after the last), and grad.<name> F64 for every parameter.

transformers computes norms, attention's softmax and rotary angles in float32 even in a float64 model; `in_float64`
lifts these too, and reports how far the logits of the unlifted model are (about 1e-7 of their norm).

loss = sum(mask * cross_entropy(logits, targets)) / sum(mask). The weights are drawn in float32 and used in float64.

Run: python torch_models.py   (needs torch, transformers, safetensors; versions in README.md, which it writes)
"""

import contextlib
import json
import os
import platform
from pathlib import Path

import numpy
import safetensors
import safetensors.numpy
import torch
import transformers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

HERE = Path(__file__).parent / "torch"
B, T = 3, 13
STEPS = 10

LLAMA = dict(
    vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-5, rope_theta=10000.0,
    tie_word_embeddings=False, attention_bias=False, mlp_bias=False, hidden_act="silu",
    bos_token_id=1, eos_token_id=2,
)
CASES = {
    "llama": (LlamaForCausalLM, LlamaConfig(**LLAMA, pad_token_id=0), LLAMA | dict(model_type="llama")),
    "gpt2": (
        GPT2LMHeadModel,
        GPT2Config(vocab_size=59, n_embd=32, n_layer=2, n_head=4, n_positions=32, activation_function="gelu_new",
                   attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0, bos_token_id=1, eos_token_id=2),
        dict(model_type="gpt2", vocab_size=59, n_embd=32, n_layer=2, n_head=4, n_positions=32, n_inner=None,
             activation_function="gelu_new", layer_norm_epsilon=1e-5, tie_word_embeddings=True,
             bos_token_id=1, eos_token_id=2),
    ),
}
QWEN3 = LLAMA | dict(vocab_size=53, head_dim=16, tie_word_embeddings=True, rms_norm_eps=1e-6, rope_theta=1000000.0)
del QWEN3["mlp_bias"]
CASES["qwen3"] = (Qwen3ForCausalLM, Qwen3Config(**QWEN3, pad_token_id=0), QWEN3 | dict(model_type="qwen3"))


@contextlib.contextmanager
def in_float64():
    """Every cast to float32 inside transformers' models casts to float64 instead."""
    to, to_float, softmax = torch.Tensor.to, torch.Tensor.float, torch.nn.functional.softmax

    def lift(value):
        return torch.float64 if value is torch.float32 else value

    torch.Tensor.to = lambda self, *a, **k: to(self, *map(lift, a), **{key: lift(v) for key, v in k.items()})
    torch.Tensor.float = lambda self: self.double()
    torch.nn.functional.softmax = lambda x, dim=None, dtype=None, **_: softmax(x, dim=dim, dtype=lift(dtype))
    try:
        yield
    finally:
        torch.Tensor.to, torch.Tensor.float, torch.nn.functional.softmax = to, to_float, softmax


def loss_of(model, ids, targets, mask):
    logits = model(ids).logits
    rows = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    return logits, (rows * mask.flatten()).sum() / mask.sum()


def make(name, seed):
    cls, config, written = CASES[name]
    torch.manual_seed(seed)
    config._attn_implementation = "eager"
    model = cls(config).float()
    with torch.no_grad():
        # away from the initial symmetry of zeros and ones, so that every gradient matters
        for key, parameter in model.named_parameters():
            spread = 0.1 if parameter.ndim == 1 else 1.5 / parameter.shape[-1] ** 0.5 / 2
            base = 1.0 if parameter.ndim == 1 and key.endswith("weight") else 0.0
            parameter.copy_(base + spread * torch.randn_like(parameter))
    weights = {key: parameter.detach().clone().numpy() for key, parameter in model.named_parameters()}
    model = model.double().train()
    if hasattr(config, "num_key_value_heads"):
        rotary = model.model.rotary_emb
        dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        base = (getattr(config, "rope_parameters", None) or {}).get("rope_theta") or config.rope_theta
        exact = 1.0 / base ** (torch.arange(0, dim, 2, dtype=torch.float64) / dim)
        assert rotary.inv_freq.shape == exact.shape and torch.allclose(rotary.inv_freq, exact, rtol=1e-6)
        rotary.inv_freq = exact

    vocab = config.vocab_size
    ids = torch.randint(3, vocab, (B, T))
    targets = torch.cat([ids[:, 1:], torch.randint(3, vocab, (B, 1))], 1)
    mask = (torch.rand(B, T) < 0.7).float() * (0.25 + torch.rand(B, T))
    mask[:, :4] = 0  # the prompt

    plain = model(ids).logits.detach()
    with in_float64():
        logits, loss = loss_of(model, ids, targets, mask.double())
        loss.backward()
        golden = {
            "input_ids": ids.int().numpy(),
            "targets": targets.int().numpy(),
            "mask": mask.numpy(),
            "logits": logits.detach().numpy(),
            "loss": numpy.array(loss.item()),
        }
        for key, parameter in model.named_parameters():
            golden[f"grad.{key}"] = parameter.grad.numpy()

        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
        losses = []
        for step in range(STEPS + 1):
            optimizer.zero_grad()
            _, loss = loss_of(model, ids, targets, mask.double())
            losses.append(loss.item())
            if step < STEPS:
                loss.backward()
                optimizer.step()
        golden["adam_losses"] = numpy.array(losses)
    distance = ((logits - plain).norm() / logits.norm()).item()
    assert logits.dtype == torch.float64

    folder = HERE / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"architectures": [cls.__name__]} | written, indent=2) + "\n")
    safetensors.numpy.save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    safetensors.numpy.save_file(golden, folder / "golden.safetensors")
    for path in folder.iterdir():
        os.chmod(path, 0o644)
    sizes = [path.stat().st_size for path in folder.iterdir()]
    print(name, sum(w.size for w in weights.values()), "parameters", sizes, "losses", losses[0], losses[-1], "unlifted", distance)


if __name__ == "__main__":
    for i, name in enumerate(CASES):
        make(name, 20260 + i)
    (HERE / "README.md").write_text(
        "# Golden files of PyTorch models\n\n"
        "Written by `../torch_models.py` (float64 on the CPU); what each file holds stands at its head.\n"
        "`sampling.json` is written by `../torch_sampling.py`.\n\n"
        f"Python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}, "
        f"safetensors {safetensors.__version__}, numpy {numpy.__version__}\n"
    )
