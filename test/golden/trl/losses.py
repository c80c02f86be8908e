"""Writes losses.golden.ts: advantages, losses and gradients of TRL's own GRPOTrainer and RLOOTrainer. Run: python losses.py

Each trainer is built as a user builds one, with a tiny random model on the CPU. Then two things that it would compute are
given: the completions (`_generate`) and the log-probabilities of their tokens under the policy, the policy before the
update and the reference (`_get_per_token_logps_and_entropies`, float64). Rewards come from a reward function. Everything
else is TRL's: `_generate_and_score_completions` makes masks and advantages (float32, as its rewards are), `_compute_loss`
the loss, and its gradient is torch's in the log-probabilities.

`batches`: what is given, [12 rows, 6 tokens], four rows a prompt; `finished` 0 for a row without EOS. Log-probabilities are
float32 numbers, those in the padding too, which must not count.
`results`: by batch and case, TRL's advantages, loss and gradient, and of `kl` cases the mean of its KL estimator over the
tokens that count, as it logs it.

No ratio is within 1e-3 of an edge of a clip (1e-5 for those of GSPO), so that float32 falls on the same side.
"""

import os
import tempfile
from pathlib import Path
from random import Random

os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np
import torch
import transformers
import trl
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

ROWS, GROUP, WIDTH = 12, 4, 6
PAD, EOS = 0, 1

# ------------------------------------------------------------ what is given

REWARDS = {
    # The shape of 0 and 1: mixed, all right, all wrong.
    "right and wrong": [1, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0],
    # Graded, with ties; the last group has none but ties, of a number that float32 has not.
    "graded": [1, 0, 0, 0, 0.5, 0.5, 0.25, 1, 0.7, 0.7, 0.7, 0.7],
    "on policy": [1, 1, 0, 1, 0, 1, 0, 0, 1, 0, 1, 0],
    "far": [0, 0, 1, 0, 1, 0, 1, 1, 0, 1, 0, 0],
}


def near(ratio, edges, by):
    return any(abs(ratio - edge) < by for edge in edges)


def batch(name, rng):
    single = lambda x: float(np.float32(x))
    spread = {"on policy": 0.0, "far": 1.5}.get(name, 0.5)
    lengths = [1 + rng.randrange(WIDTH) for _ in range(ROWS)]
    lengths[rng.randrange(ROWS)] = WIDTH
    # Rows that fill the width: about half were cut.
    finished = [rng.randrange(2) if length == WIDTH else 1 for length in lengths]
    if name == "far":  # a whole group, and one row of another
        for row in [0, 1, 2, 3, 5]:
            lengths[row], finished[row] = WIDTH, 0
    current, old, reference = [], [], []
    for length in lengths:
        while True:
            now = [single(-3 * rng.random() - 0.01) for _ in range(WIDTH)]
            before = [single(x + spread * (2 * rng.random() - 1)) for x in now]
            logs = [a - b for a, b in zip(now, before)]
            if spread == 0:
                break
            if any(near(np.exp(log), [0.8, 1.2, 1.28, 1.4], 1e-3) for log in logs):
                continue
            if not near(np.exp(sum(logs[:length]) / length), [1 - 3e-4, 1 + 4e-4], 1e-5):
                break
        current.append(now)
        old.append(before)
        reference.append([single(x + 2 * rng.random() - 1) for x in now])
    return dict(lengths=lengths, finished=finished, rewards=REWARDS[name], current=current, old=old, reference=reference)


# ------------------------------------------------------------ the trainers

folder = tempfile.mkdtemp()
vocab = {"<pad>": PAD, "<eos>": EOS, "a": 2, "b": 3}
words = Tokenizer(models.WordLevel(vocab, unk_token="a"))
words.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>")
tokenizer.save_pretrained(folder)
config = GPT2Config(vocab_size=4, n_positions=16, n_embd=4, n_layer=1, n_head=1, bos_token_id=EOS, eos_token_id=EOS, pad_token_id=PAD)
GPT2LMHeadModel(config).save_pretrained(folder)


def trainer_of(kind, given):
    """A trainer whose completions and log-probabilities are the batch's. `given` is filled in before each use."""
    make, settings = {"grpo": (GRPOTrainer, GRPOConfig), "rloo": (RLOOTrainer, RLOOConfig)}[kind[0]]
    # Two iterations a rollout: so the log-probabilities before the update are kept apart.
    args = settings(
        output_dir=folder, use_cpu=True, report_to=[], bf16=False, per_device_train_batch_size=ROWS, num_generations=GROUP,
        max_completion_length=WIDTH, num_iterations=2, gradient_accumulation_steps=1, **kind[1],
    )
    rewards_of = lambda completions, **_: given["rewards"]
    trainer = make(
        model=folder, reward_funcs=rewards_of, args=args, processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"prompt": ["a"] * ROWS}),
    )
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1

    def generate(prompts):
        ends = [([3] * (n - 1)) + [EOS if done else 3] for n, done in zip(given["lengths"], given["finished"])]
        texts = tokenizer.batch_decode(ends)
        if kind[0] == "grpo":
            return [[2]] * ROWS, ends, None, texts, None, {}, None, None
        return [[2]] * ROWS, ends, texts

    def log_probs(model, *args, **rest):
        which = "reference" if model is trainer.ref_model else "current" if torch.is_grad_enabled() else "old"
        return given[which + "_tensor"], torch.zeros(ROWS, WIDTH, dtype=torch.float64), None

    trainer._generate = generate
    trainer._get_per_token_logps_and_entropies = log_probs
    return trainer


# The KL term as GRPO's paper has it: TRL's default multiplies it by the ratio.
GRPO = dict(beta=0.0, epsilon=0.2, use_bias_correction_kl=False)
CASES = {
    # The mean over all tokens of the batch, TRL's default.
    "grpo": ("grpo", dict(GRPO, loss_type="dapo")),
    # Of one batch, the same; TRL has a name of its own for it.
    "grpo bnpo": ("grpo", dict(GRPO, loss_type="bnpo")),
    # The paper's mean over rows of the mean over tokens, with k3.
    "grpo-kl": ("grpo", dict(GRPO, loss_type="grpo", beta=0.04)),
    "grpo k3 by token": ("grpo", dict(GRPO, loss_type="dapo", beta=0.3)),
    "dr-grpo": ("grpo", dict(GRPO, loss_type="dr_grpo", scale_rewards="none")),
    "dapo": ("grpo", dict(GRPO, loss_type="dapo", epsilon_high=0.28)),
    "dapo masked": ("grpo", dict(GRPO, loss_type="dapo", epsilon_high=0.28, mask_truncated_completions=True)),
    "grpo-kl masked": ("grpo", dict(GRPO, loss_type="grpo", beta=0.04, mask_truncated_completions=True)),
    "dr-grpo masked": ("grpo", dict(GRPO, loss_type="dr_grpo", scale_rewards="none", mask_truncated_completions=True)),
    # A ratio of at most `delta`: the dual clip.
    "grpo delta": ("grpo", dict(GRPO, loss_type="dapo", delta=1.4)),
    "gspo": ("grpo", dict(beta=0.0, epsilon=3e-4, epsilon_high=4e-4, loss_type="grpo", importance_sampling_level="sequence")),
    # Here `epsilon_high` is the largest ratio itself.
    "cispo": ("grpo", dict(GRPO, loss_type="cispo", epsilon_high=1.2)),
    "rloo": ("rloo", dict(beta=0.0)),
    "rloo k1": ("rloo", dict(beta=0.05)),
}


def outcome(kind, given):
    tensor = lambda x: torch.tensor(x, dtype=torch.float64)
    given = dict(given, **{k + "_tensor": tensor(given[k]) for k in ["current", "old", "reference"]})
    trainer = trainer_of(kind, given)
    inputs = trainer._generate_and_score_completions([{"prompt": "a"}] * ROWS)
    given["current_tensor"].requires_grad_()
    loss = trainer._compute_loss(trainer.model, inputs)
    loss.backward()
    assert loss.dtype == torch.float64
    logged = trainer._metrics["train"].get("kl", [None])
    return dict(
        advantages=inputs["advantages"].tolist(), loss=loss.item(), gradient=given["current_tensor"].grad.tolist(),
        mask=inputs["completion_mask"].sum(1).tolist(), kl=logged[0],
    )


rng = Random(11)
batches = {name: batch(name, rng) for name in REWARDS}
results = {name: {case: outcome(kind, given) for case, kind in CASES.items()} for name, given in batches.items()}

# ------------------------------------------------------------ the file


def text(value, digits):
    if isinstance(value, list):
        return "[" + ", ".join(text(x, digits) for x in value) + "]"
    if value is None:
        return "null"
    return f"{value:.{digits}g}"


def record(name, parts, digits):
    return f"  {name!r}: {{\n" + "".join(f"    {key}: {text(x, digits)},\n" for key, x in parts.items()) + "  },\n"


lines = [
    f"// Written by losses.py with trl {trl.__version__}, transformers {transformers.__version__}, torch {torch.__version__}.\n",
    "/** Row lengths, whether a row has EOS, rewards, and log-probabilities [12][6]. */\n",
    "export interface Batch {\n  lengths: number[];\n  finished: number[];\n  rewards: number[];\n",
    "  current: number[][];\n  old: number[][];\n  reference: number[][];\n}\n",
    "/** `mask`: tokens of each row that count; `kl`: mean of the estimator over them. */\n",
    "export interface Result {\n  advantages: number[];\n  loss: number;\n  gradient: number[][];\n  mask: number[];\n  kl: number | null;\n}\n",
    "export const batches: Record<string, Batch> = {\n",
    *[record(name, parts, 9) for name, parts in batches.items()],
    "};\nexport const results: Record<string, Record<string, Result>> = {\n",
    *[f"  {name!r}: {{\n" + "".join(record(c, r, 12) for c, r in by.items()) + "  },\n" for name, by in results.items()],
    "};\n",
]
Path(__file__).with_name("losses.golden.ts").write_text("".join(lines))
