"""Which symmetries a law breaks: a wind that nobody wrote down, found in pairs of fields before and after."""

import numpy as np

from subduce.discovery import discover_symmetries

# A scalar on a square, periodic grid spreads the same way along x and y, and drifts a little along the diagonal.
rng = np.random.default_rng(0)
before = rng.normal(size=(60, 16, 16))
neighbours = {step: np.roll(before, step, axis=(1, 2)) for step in [(1, 0), (-1, 0), (0, 1), (0, -1)]}
spread = sum(neighbours.values()) - 4 * before
drift = neighbours[1, 0] - neighbours[-1, 0] + neighbours[0, 1] - neighbours[0, -1]
after = before + 0.1 * spread + 0.01 * drift + 0.05 * rng.normal(size=before.shape)

# D4 has the turns and mirrors of the square. One call tests every irrep and every subgroup.
record = discover_symmetries({"input": before, "target": after}, "D4", no_channels=True)
found = record.results
print(found["verdict"])

# The diagonal mirror is all that is left, and the irrep of vectors, E, along (a,a), broke the rest.
assert found["preserved"]["conjugacy"] == "Cs(m_diag)"
vector = next(row for row in found["irreps"] if row["irrep"] == "E")
assert vector["verdict"] == "broken"
assert vector["direction_symbol"] == "(a,a)"

# An effect is a size in the space of laws, with an interval: how far an element moves the law.
for row in found["elements"]:
    low, high = row["interval"]
    print(f"{row['name']:<12}{row['verdict']:<14}{row['effect']:.3f}  ({low:.3f} to {high:.3f})")
print(f"smallest effect that these data would show: {found['detectable_effect']:.3f}")
