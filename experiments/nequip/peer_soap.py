"""A descriptor baseline: sparse kernel regression on SOAP, with forces, for the small-data claim.

Run it with a Python that has dscribe (`pip install ase dscribe` in an environment of its own):
`python peer_soap.py SETTINGS.json RESULT.json`. It is GAP's recipe (Bartók et al. 2010; Bartók and Csányi 2015):
the energy is a sum over atoms of Σ_m α_m (p·s_m)^ζ with normalised SOAP vectors p of the atom and s_m of
representative atoms of the same element, chosen far from each other; α is fitted to energies and forces
together by regularised least squares. Descriptors and their derivatives are dscribe's. Cutoff, width,
ζ and the two noise levels are chosen by the force error on the validation part.
"""

import itertools
import json
import sys
import time
from pathlib import Path

import ase.io
import numpy as np
from dscribe.descriptors import SOAP
from scipy.linalg import cho_factor, cho_solve, cholesky


class Set:
    """Normalised descriptors of a file's atoms, with derivatives by every atom's position, and the labels."""

    def __init__(self, path, soap):
        self.frames = ase.io.read(path, ":")
        self.numbers = self.frames[0].numbers
        self.energies = np.array([a.get_potential_energy() for a in self.frames])
        self.forces = np.array([a.get_forces() for a in self.frames])
        centers = list(range(len(self.numbers)))
        self.vectors, self.slopes = [], []
        for atoms in self.frames:
            slope, vector = soap.derivatives(
                atoms, centers=centers, attach=True, method="analytical", return_descriptor=True
            )
            length = np.linalg.norm(vector, axis=1)
            unit = vector / length[:, None]
            along = np.einsum("iajf,if->iaj", slope, unit)
            slope = (slope - along[..., None] * unit[:, None, None]) / length[:, None, None, None]
            self.vectors.append(unit)
            self.slopes.append(slope.astype(np.float32))
        self.vectors = np.array(self.vectors)

    def design(self, chosen, zeta):
        """Energies and forces of each frame as linear functions of α: `[frames, M]` and `[frames, 3 atoms, M]`."""
        energies, forces = [], []
        for vectors, slopes in zip(self.vectors, self.slopes, strict=True):
            energy, force = [], []
            for number, points in chosen.items():
                mine = self.numbers == number
                dots = vectors[mine] @ points.T
                turned = slopes[mine] @ points.T.astype(np.float32)  # [centers, atoms, 3, points]
                energy.append((dots**zeta).sum(0))
                force.append(-np.einsum("im,iajm->ajm", zeta * dots ** (zeta - 1), turned))
            energies.append(np.concatenate(energy))
            forces.append(np.concatenate(force, -1).reshape(3 * len(self.numbers), -1))
        return np.array(energies), np.array(forces)


def representative(data, counts):
    """Atoms of each element that are far from each other, the next always the farthest from all before."""
    chosen = {}
    for number in np.unique(data.numbers):
        vectors = data.vectors[:, data.numbers == number].reshape(-1, data.vectors.shape[-1])
        rows, nearest = [0], np.full(len(vectors), -np.inf)
        while len(rows) < min(counts[str(number)], len(vectors)):
            nearest = np.maximum(nearest, vectors @ vectors[rows[-1]])
            rows.append(int(nearest.argmin()))
        chosen[number] = vectors[rows]
    return chosen


def fit(energies, forces, data, prior, noises):
    """α by least squares: each row divided by its noise, `prior` the kernel between representative atoms.

    The constant is the mean energy of an atom: the molecules of a set are all alike.
    """
    size = len(data.numbers)
    targets = data.energies - data.energies.mean()
    centred = energies - energies.mean(0)
    noise_energy, noise_force = noises[0] * size, noises[1]
    flat = forces.reshape(-1, forces.shape[-1])
    normal = centred.T @ centred / noise_energy**2 + flat.T @ flat / noise_force**2 + prior
    right = centred.T @ targets / noise_energy**2 + flat.T @ data.forces.ravel() / noise_force**2
    scale = 1 / np.sqrt(np.diag(normal))
    factor = cho_factor(normal * scale * scale[:, None] + 1e-12 * np.eye(len(normal)))
    alpha = scale * cho_solve(factor, scale * right)
    return alpha, data.energies.mean() - energies.mean(0) @ alpha


def errors(alpha, constant, design, data):
    energies, forces = design
    energy = (energies @ alpha + constant - data.energies) / len(data.numbers)
    force = forces @ alpha - data.forces.reshape(len(data.frames), -1)
    return {
        "per_atom_energy_mae": float(np.abs(energy).mean()),
        "forces_mae": float(np.abs(force).mean()),
        "forces_rmse": float(np.sqrt((force**2).mean())),
    }


def kernel(chosen, zeta):
    """The kernel between representative atoms, zero between elements."""
    blocks = [(points @ points.T) ** zeta for points in chosen.values()]
    whole, place = np.zeros((sum(map(len, blocks)),) * 2), 0
    for block in blocks:
        whole[place : place + len(block), place : place + len(block)] = block
        place += len(block)
    return whole


def main():
    settings, started = json.loads(Path(sys.argv[1]).read_text()), time.monotonic()
    best = None
    for cutoff, width in itertools.product(settings["cutoffs"], settings["widths"]):
        soap = SOAP(
            species=settings["species"], r_cut=cutoff, sigma=width, n_max=settings["n_max"], l_max=settings["l_max"],
            rbf="gto", periodic=False,
        )  # fmt: skip
        train, val, test = (Set(settings["data"][part], soap) for part in ("train", "val", "test"))
        chosen = representative(train, settings["points"])
        for zeta in settings["zetas"]:
            prior = kernel(chosen, zeta)
            cholesky(prior + 1e-8 * np.eye(len(prior)))  # a kernel that is none is noticed here
            designs = train.design(chosen, zeta), val.design(chosen, zeta)
            for noises in itertools.product(settings["energy_noises"], settings["force_noises"]):
                alpha, constant = fit(*designs[0], train, prior, noises)
                found = errors(alpha, constant, designs[1], val)
                print(cutoff, width, zeta, noises, found, file=sys.stderr, flush=True)
                if best is None or found["forces_mae"] < best["validation_forces_mae"]:
                    best = errors(alpha, constant, test.design(chosen, zeta), test)
                    best |= {"validation_forces_mae": found["forces_mae"], "n_train": len(train.frames)}
                    best |= {"cutoff": cutoff, "width": width, "zeta": zeta, "noises": noises, "points": len(alpha)}
    Path(sys.argv[2]).write_text(json.dumps(best | {"seconds": time.monotonic() - started}, indent=1))


if __name__ == "__main__":
    main()
