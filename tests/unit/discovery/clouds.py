"""Point clouds with known laws, as files of structures."""

import numpy as np

CUBE = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)


def cubes(rng, count=60, noise=0.15):
    """Noisy copies of a cube."""
    return CUBE + noise * rng.normal(size=(count, 8, 3))


def scattered(rng, count=60, atoms=8, apart=0.7, size=1.6):
    """Random clouds in a ball, no two points nearer than `apart`."""
    found = []
    while len(found) < count:
        points: list[np.ndarray] = []
        while len(points) < atoms:
            point = rng.uniform(-size, size, 3)
            if np.linalg.norm(point) < size and all(np.linalg.norm(point - p) > apart for p in points):
                points.append(point)
        found.append(np.stack(points))
    return np.stack(found)


def pushed(clouds, law):
    """Σ_j g(r_ij) r̂_ij towards every neighbour."""
    edges = clouds[:, None] - clouds[:, :, None]  # [cloud, i, j]: from i to j
    lengths = np.linalg.norm(edges, axis=-1) + np.eye(clouds.shape[1])
    weights = law(lengths) * (1 - np.eye(clouds.shape[1]))
    return np.einsum("cij,cijx->cix", weights / lengths, edges)


def write(path, clouds, species=None, cell=None, comments=None, **columns):
    """A file of structures, with labels of atoms as columns, and one comment a structure."""
    lines = []
    for c, cloud in enumerate(clouds):
        names = species or ["Si"] * len(cloud)
        values = [cloud, *(np.asarray(v[c]).reshape(len(cloud), -1) for v in columns.values())]
        kinds = "".join(f":{k}:R:{v.shape[1]}" for k, v in zip(columns, values[1:], strict=True))
        lattice = "" if cell is None else f'Lattice="{" ".join(f"{x:.10g}" for x in np.ravel(cell))}" pbc="T T T" '
        comment = comments[c] if comments else ""
        lines += [str(len(cloud)), f"{lattice}Properties=species:S:1:pos:R:3{kinds} {comment}"]
        lines += [f"{n} {' '.join(f'{x:.12g}' for x in r)}" for n, r in zip(names, np.hstack(values), strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path
