"""Writes student.golden.ts: quantiles of Student's t as SciPy has them. Run: python student.py"""

from pathlib import Path

from scipy.stats import t

rows = [(p, d, float(t.ppf(p, d))) for d in (1, 1.5, 2, 3.7, 4, 9, 29.4, 199, 1e4, 1e6) for p in (0.01, 0.2, 0.6, 0.8, 0.9, 0.975, 0.9995)]
text = "// Written by student.py with SciPy 1.17.1: [p, degrees of freedom, quantile].\nexport const quantiles: [number, number, number][] = [\n"
text += "".join(f"  [{p}, {d:g}, {q!r}],\n" for p, d, q in rows) + "];\n"
Path(__file__).with_name("student.golden.ts").write_text(text)
