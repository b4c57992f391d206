"""Data with known answers: fields under stencil laws, vectors under forces, distributions of known symmetry."""

import numpy as np

from subduce.data import Pairs, open_pairs

V4 = {
    "name": "V4",
    "generators": {
        "P": {"input": [[-1, 0], [0, -1]], "target": [[-1]]},
        "T": {"input": [[1, 0], [0, -1]], "target": [[1]]},
    },
}


def smooth(rng, samples, size=16, dimension=2, stretch=(1, 1, 1)):
    """Smooth random periodic fields of unit variance; `stretch` makes the spectrum narrower along an axis."""
    waves = np.meshgrid(*(np.fft.fftfreq(size) * size for _ in range(dimension)), indexing="ij")
    weight = np.exp(-sum((k * s) ** 2 for k, s in zip(waves, stretch, strict=False)) / (2 * 3.0**2))
    axes = tuple(range(1, dimension + 1))
    field = np.fft.ifftn(np.fft.fftn(rng.normal(size=(samples, *(size,) * dimension)), axes=axes) * weight, axes=axes)
    return field.real / field.real.std()


def shifted(field, *steps):
    return np.roll(field, [-s for s in steps], tuple(range(1, 1 + len(steps))))


def step(field, d_x=0.1, d_y=0.1, d_xy=0.0, c=(0.0, 0.0)):
    """One step of u_t = D_x u_xx + D_y u_yy + D_xy u_xy − c·∇u in the plane."""
    x, y = shifted(field, 1, 0), shifted(field, 0, 1)
    left, below = shifted(field, -1, 0), shifted(field, 0, -1)
    corners = sum(a * b * shifted(field, a, b) for a in (-1, 1) for b in (-1, 1))
    diffusion = d_x * (x + left - 2 * field) + d_y * (y + below - 2 * field) + d_xy / 4 * corners
    return field + diffusion - c[0] * (x - left) / 2 - c[1] * (y - below) / 2


def plane(seed=0, samples=60, noise=0.05, stretch=(1, 1), **law) -> Pairs:
    """Pairs of the plane (G31)."""
    rng = np.random.default_rng(seed)
    field = smooth(rng, samples, stretch=stretch)
    return scalars(field, step(field, **law) + noise * rng.normal(size=field.shape))


def space(seed=0, samples=40, size=12, diffusion=(0.1, 0.1, 0.1), d_xy=0.0, c_z=0.0, cubic=0.0, noise=0.05) -> Pairs:
    """Pairs of space (G32)."""
    rng = np.random.default_rng(seed)
    field = smooth(rng, samples, size, 3)
    target = field.copy()
    for d, e in zip(diffusion, np.eye(3, dtype=int), strict=True):
        target += d * (shifted(field, *e) + shifted(field, *-e) - 2 * field)
    target += d_xy / 4 * sum(a * b * shifted(field, a, b, 0) for a in (-1, 1) for b in (-1, 1))
    target -= c_z / 2 * (shifted(field, 0, 0, 1) - shifted(field, 0, 0, -1))
    signs = (-1, 1)
    target += cubic / 8 * sum(a * b * d * shifted(field, a, b, d) for a in signs for b in signs for d in signs)
    return scalars(field, target + noise * rng.normal(size=field.shape))


def scalars(field, target=None) -> Pairs:
    arrays = {"input": field} if target is None else {"input": field, "target": target}
    return open_pairs(arrays, no_channels=True, distribution=target is None)


def vectors(inputs, targets, irreps="1o") -> Pairs:
    return open_pairs({"input": inputs, "target": targets}, input_channels=irreps, target_channels=irreps)


def pendulum(terms, samples=4000, noise=0.05, seed=0) -> Pairs:
    """Angle and velocity to acceleration, −sin θ and more (G37)."""
    rng = np.random.default_rng(seed)
    angle, velocity = rng.uniform(-2.5, 2.5, samples), 2 * rng.normal(size=samples)
    force = -np.sin(angle) + terms(angle, velocity) + noise * rng.normal(size=samples)
    return open_pairs({"input": np.stack([angle, velocity], axis=1), "target": force[:, None]})
