"""Writes estimators.golden.ts: what scorio, an independent implementation, gives for the Pass@k family. Run: python estimators.py

`means`: for each n up to 64 and each k, the mean over prompts with c = 0..n right samples (scorio averages over prompts):
every triple (n, c, k) of that range takes part. Base64 of float64, seven for each pair. Where `maj_at_k` rounds its
threshold up by a whole sample (29, 52, 56, 58 and 60 are such k: 15/29*29 > 15 in float64), NaN.
`random`: [n, c, k, tau, Pass@k, pass^k, G-Pass@k_tau, mG-Pass@k] with n up to 512.
`graded`: [rewards in units of 1/8, k, max@k].
"""

import base64
import math
from pathlib import Path
from random import Random

import numpy as np
from scorio.eval import g_pass_at_k_tau, maj_at_k, max_at_k, mg_pass_at_k, pass_at_k, pass_hat_k


def prompts(n, counts):
    return (np.arange(n)[None, :] < np.array(counts)[:, None]).astype(int)


means = []
for n in range(1, 65):
    R = prompts(n, range(n + 1))
    for k in range(1, n + 1):
        strict = k // 2 + 1
        means += [pass_at_k(R, k), pass_hat_k(R, k)]
        means += [g_pass_at_k_tau(R, k, tau) for tau in (0.25, 0.5, 0.75)]
        means += [mg_pass_at_k(R, k), maj_at_k(R, k) if math.ceil(strict / k * k) == strict else math.nan]

rng = Random(7)
random = []
for _ in range(400):
    n = rng.randint(1, 512)
    c, k, tau = rng.randint(0, n), rng.randint(1, n), rng.random()
    R = prompts(n, [c])
    random.append([n, c, k, tau, pass_at_k(R, k), pass_hat_k(R, k), g_pass_at_k_tau(R, k, tau), mg_pass_at_k(R, k)])

graded = []
for _ in range(60):
    n = rng.randint(1, 40)
    eighths = [rng.randint(-8, 8) for _ in range(n)]
    k = rng.randint(1, n)
    graded.append([eighths, k, max_at_k(np.array([eighths]) + 8, k, w=np.arange(-8, 9) / 8)])

floats = lambda row: "[" + ", ".join(repr(float(x)) if not float(x).is_integer() else str(int(x)) for x in row) + "]"
text = f"""// Written by estimators.py with scorio 0.2.2.
export const means = "{base64.b64encode(np.array(means).tobytes()).decode()}";
export const random: number[][] = [
{"".join("  " + floats(row) + "," + chr(10) for row in random)}];
export const graded: [number[], number, number][] = [
{"".join(f"  [{eighths}, {k}, {float(value)!r}]," + chr(10) for eighths, k, value in graded)}];
"""
Path(__file__).with_name("estimators.golden.ts").write_text(text)
