"""Writes math.golden.ts: elementary functions at 1,600 bits, rounded to float64. Run: python math.py (needs mpmath)."""

import random
from pathlib import Path

import mpmath

mpmath.mp.prec = 1600  # arguments up to 1e300 need their integer part reduced exactly
random.seed(7)
uniform = random.uniform


def wide(low, high):
    return random.choice([1, -1]) * 10 ** uniform(low, high)


ARGUMENTS = {
    "exp": lambda i: [(uniform(-745, 709.7),), (wide(-10, 1.5),)][i % 2],
    "log": lambda i: [(abs(wide(-300, 300)),), (uniform(0.5, 2),), (random.random() * 1e-310,)][i % 3],
    "expm1": lambda i: [(uniform(-3, 3),), (wide(-10, 2.8),)][i % 2],
    "tanh": lambda i: [(uniform(-3, 3),), (wide(-10, 1.5),)][i % 2],
    "sin": lambda i: [(uniform(-10, 10),), (uniform(-1.6e6, 1.6e6),), (wide(-8, 300),), (i * 1.5707963267948966,)][i % 4],
    "cos": lambda i: [(uniform(-10, 10),), (uniform(-1.6e6, 1.6e6),), (wide(-8, 300),), (i * 1.5707963267948966,)][i % 4],
    "pow": lambda i: [(abs(wide(-5, 5)), uniform(-60, 60)), (10000.0, -uniform(0, 1)),
                      (0.999, float(random.randint(1, 100000))), (abs(wide(-320, -300)), uniform(-1, 1))][i % 4],
}
FUNCTIONS = {"pow": mpmath.power}

lines = ["// Written by math.py: [arguments..., exact value rounded to float64].", "export const golden: Record<string, number[][]> = {"]
for name, draw in ARGUMENTS.items():
    function = FUNCTIONS.get(name) or getattr(mpmath, name)
    rows = []
    while len(rows) < 120:
        args = draw(len(rows))
        value = function(*map(mpmath.mpf, args))
        if 0 < abs(value) < mpmath.mpf(2) ** 1024:
            rows.append([*args, float(value)])
    lines.append(f"  {name}: [")
    lines += [f"    [{', '.join(repr(x) for x in row)}]," for row in rows]
    lines.append("  ],")
lines.append("};")
Path(__file__).with_name("math.golden.ts").write_text("\n".join(lines) + "\n")
