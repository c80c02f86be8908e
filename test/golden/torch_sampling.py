"""Golden probabilities of temperature, top-k and top-p filtering, from transformers' logits processors in float64.

Writes torch/sampling.json: {logits: [rows][V], cases: [{temperature, topK, topP, logProbs, probs}]}. `logProbs` is
log_softmax(logits / temperature); `probs` the distribution that is sampled from: temperature, then top-k (0: off),
then top-p (1: off), renormalised, as `generate` applies them. Run: python torch_sampling.py
"""

import json
from pathlib import Path

import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

torch.manual_seed(20270)
V = 19
rows = torch.randn(5, V, dtype=torch.float64) * torch.tensor([[0.1], [1.0], [3.0], [10.0], [2.0]])
rows[4, 5:9] = rows[4].max()  # ties at the top
rows = rows.float().double()

cases = []
for temperature in (1.0, 0.6, 1.7):
    for top_k, top_p in ((0, 1.0), (1, 1.0), (5, 1.0), (0, 0.95), (0, 0.5), (0, 0.01), (7, 0.8), (64, 0.999)):
        scores = TemperatureLogitsWarper(temperature)(None, rows) if temperature != 1.0 else rows
        log_probs = torch.log_softmax(scores, -1)
        if top_k > 0:
            scores = TopKLogitsWarper(top_k=top_k)(None, scores)
        if top_p < 1:
            scores = TopPLogitsWarper(top_p=top_p)(None, scores)
        cases.append(dict(temperature=temperature, topK=top_k, topP=top_p, logProbs=log_probs.tolist(),
                          probs=torch.softmax(scores, -1).tolist()))

text = json.dumps(dict(vocabSize=V, logits=rows.tolist(), cases=cases))
(Path(__file__).parent / "torch" / "sampling.json").write_text(text + "\n")
print(len(cases), "cases", len(text), "bytes")
