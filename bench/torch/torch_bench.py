"""The benchmark's work by PyTorch, for a comparison on one machine. Nothing of naysay needs this file or Python.

    python3 bench/torch/torch_bench.py --out torch            # torch-eager.json and torch-compile.json
    npm run --silent bench -- --json > naysay.json
    npm run bench -- compare torch-eager.json naysay.json

Rows have the names of `npm run bench`, so that `compare` finds them; those that naysay has no counterpart of (tf32, f16 by
autocast) say so in their names. Medians and quartiles of single runs, each ended by a synchronisation; on a GPU also the time
between two CUDA events around the run. w1: matrix products; w2: a training step (forward, backward, AdamW) of the small
model; w3: its sampling by `transformers`, where that is installed; w5: a step of a model of GPT-2 124M's shape.
"""

import argparse
import json
import os
import platform
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

# [m, k] @ [k, n]; transposed: the left matrix is kept [k, m]. bench/matmuls.
PRODUCTS = [(512, 512, 512, False), (1024, 1024, 1024, False), (1024, 128, 512, False), (128, 1024, 512, True)]
LARGE_PRODUCTS = [(2048, 2048, 2048, False), (4096, 4096, 4096, False)]
QUICK_PRODUCTS = [(64, 64, 64, False), (32, 64, 48, True)]
SMALL = dict(vocab=64, width=128, layers=4, heads=4, context=128, batch=8)
TINY = dict(vocab=16, width=16, layers=1, heads=2, context=16, batch=2)
GPT2 = dict(vocab=50257, width=768, layers=12, heads=12)
GPT2_SIZES = [(1, 512), (1, 1024), (4, 1024)]
SAMPLING = dict(rows=64, prompt=16, length=48)
QUICK_SAMPLING = dict(rows=4, prompt=4, length=4)
FEWEST = 5


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (
            z.view(b, t, self.heads, c // self.heads).transpose(1, 2) for z in self.qkv(self.ln1(x)).split(c, dim=2)
        )  # [B, H, T, D]
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, c)
        x = x + self.out(a)
        return x + self.down(F.gelu(self.up(self.ln2(x)), approximate="tanh"))


class Model(nn.Module):
    """GPT-2: LayerNorm, learned positions, biases, tanh GELU, tied embeddings."""

    def __init__(self, vocab, width, layers, heads, context, **_):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocab, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02)

    def forward(self, x, y):
        h = self.tokens(x) + self.positions(torch.arange(x.shape[1], device=x.device))
        for block in self.blocks:
            h = block(h)
        logits = F.linear(self.norm(h), self.tokens.weight)  # [B, T, V]
        return F.cross_entropy(logits.flatten(0, 1).float(), y.flatten())


def walk(vocab, batch, context, device):
    """Tokens and those that follow them: a random walk, so that there is something to learn."""
    steps = torch.randint(1, 4, (batch, context + 1), generator=torch.Generator().manual_seed(5))
    tokens = torch.cumsum(steps, dim=1) % vocab
    return tokens[:, :-1].contiguous().to(device), tokens[:, 1:].contiguous().to(device)


def summary(samples):
    """Median and quartiles, between two samples in a straight line, as bench's own."""
    s = sorted(samples)

    def quantile(share):
        at = (len(s) - 1) * share
        low = int(at)
        high = min(low + 1, len(s) - 1)
        return s[low] + (s[high] - s[low]) * (at - low)

    return {"ms": quantile(0.5), "low": quantile(0.25), "high": quantile(0.75), "samples": len(s)}


class Bench:
    def __init__(self, options):
        self.options = options
        self.device = torch.device(options.device)
        self.cuda = self.device.type == "cuda"
        self.rows, self.errors = [], []

    def sync(self):
        if self.cuda:
            torch.cuda.synchronize()

    def measure(self, run, warmup):
        """Times of `run` by the wall and, on a GPU, between events: at least five, and as many as the time holds."""
        for _ in range(warmup):
            run()
        self.sync()
        wall, gpu = [], []
        end = time.perf_counter() + self.options.time / 1000
        while len(wall) < FEWEST or time.perf_counter() < end:
            if self.cuda:
                first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                first.record()
            begun = time.perf_counter()
            run()
            if self.cuda:
                last.record()
            self.sync()
            wall.append((time.perf_counter() - begun) * 1000)
            if self.cuda:
                gpu.append(first.elapsed_time(last))
        return summary(wall), summary(gpu) if gpu else None

    def row(self, group, name, make, flops, clock="wall", warmup=3):
        """Measures what `make()` gives: a function, and one that tells details after it. A failure is a row's own."""
        # Else its limit of compilations of one function is reached, and the rest runs eagerly under the wrong name.
        torch.compiler.reset()
        try:
            run, details = make()
            wall, gpu = self.measure(run, warmup)
        except Exception as error:  # a kernel or a compiler may be missing: the rest is still worth having
            self.errors.append({"name": name, "message": f"{type(error).__name__}: {str(error)[:500]}"})
            print(f"  failed {name}: {type(error).__name__}", flush=True)
            return
        finally:
            if self.cuda:
                torch.cuda.empty_cache()
        timing = gpu if clock == "gpu" and gpu else wall
        rate = flops / timing["ms"] / 1e6 if flops else None
        row = dict(group=group, name=name, time=clock, wall=wall, gpu=gpu, flops=flops, bytes=None)
        row.update(gflops=rate, gbs=None, ofFma=None, ofCopy=None, ofLimit=None, limit=None, details=details(timing))
        self.rows.append(row)
        print(f"{timing['ms']:10.3f} ms {rate or 0:12.1f} GFLOP/s  {name}", flush=True)


def compiled(bench, f):
    return torch.compile(f) if bench.mode == "compile" else f


def products(bench):
    options = bench.options
    sizes = QUICK_PRODUCTS if options.quick else PRODUCTS + (LARGE_PRODUCTS if bench.cuda else [])
    kinds = [("", torch.float32, "highest")]
    if bench.cuda:
        kinds += [(", tf32", torch.float32, "high"), (", bf16", torch.bfloat16, "highest")]
    kinds.append((", f16", torch.float16, "highest"))
    for suffix, dtype, precision in kinds:
        for m, k, n, transposed in sizes:

            def make():
                torch.set_float32_matmul_precision(precision)
                a = torch.randn((k, m) if transposed else (m, k), device=bench.device, dtype=dtype)
                b = torch.randn((k, n), device=bench.device, dtype=dtype)
                product = compiled(bench, (lambda x, y: x.t() @ y) if transposed else (lambda x, y: x @ y))
                return lambda: product(a, b), lambda _: []

            name = f"w1 matmul {m} x {k} x {n}{', a transposed' if transposed else ''}{suffix}"
            bench.row("w1", name, make, 2 * m * k * n, clock="gpu")
    torch.set_float32_matmul_precision("highest")


def training_flops(vocab, width, layers, context, batch, **_):
    """Of the matrix products; of attention the keys that a token sees count, as in bench."""
    linear = layers * 12 * width * width + vocab * width
    return 3 * 2 * batch * context * (linear + layers * (context + 1) * width)


def training(bench, group, name, sizes):
    kinds = [("", None)]
    if bench.cuda:
        kinds += [(", tf32", "tf32"), (", bf16 by autocast", torch.bfloat16), (", f16 by autocast", torch.float16)]
    for suffix, kind in kinds:

        def make():
            torch.manual_seed(5)
            torch.set_float32_matmul_precision("high" if kind == "tf32" else "highest")
            model = Model(**sizes).to(bench.device)
            forward = compiled(bench, model)
            adamw = dict(lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
            optimizer = torch.optim.AdamW(model.parameters(), **adamw, **({"fused": True} if bench.cuda else {}))
            x, y = walk(sizes["vocab"], sizes["batch"], sizes["context"], bench.device)
            cast = kind if isinstance(kind, torch.dtype) else None
            # f16's small gradients vanish without a scale.
            scaler = torch.amp.GradScaler(bench.device.type, enabled=cast == torch.float16)
            losses = {}

            def run():
                optimizer.zero_grad(set_to_none=True)
                with torch.autocast(bench.device.type, dtype=cast or torch.bfloat16, enabled=cast is not None):
                    loss = forward(x, y)
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
                losses["last"] = loss.detach()
                losses.setdefault("first", losses["last"])

            def details(_):
                found = [{"name": "loss at the first step", "value": float(losses["first"])}]
                found.append({"name": "loss at the last", "value": float(losses["last"])})
                if bench.cuda:
                    peak = torch.cuda.max_memory_allocated()
                    found.append({"name": "peak memory on the GPU", "value": peak, "unit": "bytes"})
                return found

            if bench.cuda:
                torch.cuda.reset_peak_memory_stats()
            return run, details

        bench.row(group, name + suffix, make, training_flops(**sizes))
    torch.set_float32_matmul_precision("highest")


def sampling(bench):
    sizes = TINY if bench.options.quick else SMALL
    rows, prompt, length = (QUICK_SAMPLING if bench.options.quick else SAMPLING).values()
    name = f"w3 sampling: {rows} sequences, prompt {prompt}, {length} new tokens"

    def make():
        from transformers import GPT2Config, GPT2LMHeadModel

        config = GPT2Config(
            vocab_size=sizes["vocab"],
            n_embd=sizes["width"],
            n_layer=sizes["layers"],
            n_head=sizes["heads"],
            n_positions=max(sizes["context"], prompt + length),
            bos_token_id=None,
            eos_token_id=None,
        )
        torch.manual_seed(5)
        model = GPT2LMHeadModel(config).to(bench.device).eval()
        if bench.mode == "compile":
            model.forward = torch.compile(model.forward, dynamic=True)
        x, _ = walk(sizes["vocab"], rows, prompt, bench.device)

        def run():
            with torch.no_grad():
                out = model.generate(
                    x,
                    attention_mask=torch.ones_like(x),
                    do_sample=True,
                    max_new_tokens=length,
                    min_new_tokens=length,
                    pad_token_id=0,
                )
            assert out.shape == (rows, prompt + length), out.shape

        def details(timing):
            return [{"name": "new tokens a second", "value": rows * length / (timing["ms"] / 1000)}]

        return run, details

    bench.row("w3", name, make, None)


def run(bench):
    options = bench.options
    sizes = TINY if options.quick else SMALL
    if "w1" in options.groups:
        products(bench)
    if "w2" in options.groups:
        v, c, n, b, t = (sizes[key] for key in ("vocab", "width", "layers", "batch", "context"))
        training(bench, "w2", f"w2 training step: vocabulary {v}, width {c}, {n} layers, batch {b} x {t}", sizes)
    if "w3" in options.groups:
        sampling(bench)
    # A processor takes minutes for what a GPU does in milliseconds: only where it is asked for by name.
    if "w5" in options.groups and (bench.cuda or options.named):
        for batch, context in [(1, 32)] if options.quick else GPT2_SIZES:
            shape = dict(GPT2, batch=batch, context=context)
            if options.quick:
                shape.update(vocab=512, width=48, layers=2, heads=4)
            training(bench, "w5", gpt2_name(options.quick, batch, context), shape)


def gpt2_name(quick, batch, context):
    return f"w5 step of GPT-2 {'in little' if quick else '124M'}: batch {batch} x {context}"


def facts(bench):
    cuda = bench.cuda
    adapter = {
        "vendor": "nvidia" if cuda else "cpu",
        "architecture": ".".join(map(str, torch.cuda.get_device_capability())) if cuda else platform.machine(),
        "description": torch.cuda.get_device_name() if cuda else "PyTorch on the processor",
        "backend": "cuda" if cuda else "cpu",
        "driver": f"CUDA {torch.version.cuda}" if cuda else f"{torch.get_num_threads()} threads",
        "tier": bench.mode,
        "software": not cuda,
    }
    machine = {"processors": os.cpu_count(), "model": platform.processor() or platform.machine()}
    return {
        "format": "naysay-bench-1",
        "library": f"torch {torch.__version__}, {bench.mode}",
        "node": f"Python {platform.python_version()}",
        "adapter": adapter,
        "machine": machine,
        "quick": bench.options.quick,
        "time": bench.options.time,
        "ceilings": None,
        "rows": bench.rows,
        "errors": bench.errors,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("groups", nargs="*", help="of w1, w2, w3, w5 (default: all; w5 on a processor by name only)")
    parser.add_argument("--out", default="torch", help="files begin with this: <out>-eager.json, <out>-compile.json")
    parser.add_argument("--mode", choices=["eager", "compile", "both"], default="both")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--time", type=float, default=300, help="ms for each row")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it works")
    options = parser.parse_args()
    options.named = len(options.groups) > 0
    known = ["w1", "w2", "w3", "w5"]
    for group in options.groups:
        if group not in known:
            sys.exit(f"torch_bench: a group of {', '.join(known)} expected, got {group}.")
    options.groups = options.groups or known
    for mode in ["eager", "compile"] if options.mode == "both" else [options.mode]:
        bench = Bench(options)
        bench.mode = mode
        print(f"torch {torch.__version__}, {options.device}, {mode}", flush=True)
        run(bench)
        with open(f"{options.out}-{mode}.json", "w") as file:
            json.dump(facts(bench), file, indent=2)


main()
