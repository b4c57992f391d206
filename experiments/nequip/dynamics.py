"""Dynamics with a trained potential beside dynamics with the method that it learnt: structure and vibrations."""

import itertools
import json

import ase.io
import numpy as np
from ase import units
from ase.io.trajectory import TrajectoryReader
from ase.neighborlist import build_neighbor_list, natural_cutoffs
from scipy.signal import find_peaks, welch

from subduce.records import appearing_whole, write_whole
from subduce.simulate import MDConfig, md

EQUILIBRATION = 0.05  # of the frames, left out
SEGMENT = 5000.0  # fs; a spectrum is the mean over segments, and this long sees 6.7 cm⁻¹
PER_CM = 1e15 / 2.99792458e10  # cm⁻¹ of one oscillation per fs
LOWEST = 200.0  # cm⁻¹; below, a free molecule turns and its torsions drift
PROMINENCE = 0.02  # of a peak, in units of the highest
BINS = {2: np.arange(0.7, 2.0, 0.01), 3: np.arange(60.0, 180.5, 1.0)}  # Å, degrees


def simulate(model, settings, output, say=print):
    """Run the dynamics of a model, or go on with it; returns why it stopped early (or None) and its trajectory."""
    path, raw = output / "dynamics_ours.npz", output / "dynamics_ours.traj"
    summary = output / "dynamics_ours.json"
    wanted = settings | {"model": str(model)}
    if path.exists() and json.loads(summary.read_text())["settings"] == wanted:
        return json.loads(summary.read_text()), path
    names = ("temperature", "timestep", "friction", "steps", "interval", "seed")
    config = MDConfig(ensemble="langevin", **{name: settings[name] for name in names})
    say(f"running {settings['steps'] * settings['timestep'] / 1000:g} ps of dynamics")
    start = ase.io.read(settings["start"], 0)
    record = md(model, start, config, trajectory=raw, restart=raw.exists())
    keep = ("stopped", "time_ps", "temperature_mean", "steps_per_second")
    frames = TrajectoryReader(str(raw))
    positions = np.array([atoms.positions for atoms in frames], dtype=np.float32)
    velocities = np.array([atoms.get_velocities() * units.fs for atoms in frames], dtype=np.float32)  # Å/fs
    with appearing_whole(path) as stream:
        np.savez(stream, positions=positions, velocities=velocities, numbers=frames[0].numbers)
    found = {name: record.results[name] for name in keep} | {"settings": wanted}
    write_whole(summary, json.dumps(found, indent=1))
    raw.unlink()
    return found, path


def analyse(path, settings):
    """Histograms of bond lengths and angles by their elements, and the vibrational spectrum, of a trajectory."""
    data, start = np.load(path), ase.io.read(settings["start"], 0)
    first = round(EQUILIBRATION * len(data["positions"]))
    positions, velocities = data["positions"][first:].astype(float), data["velocities"][first:].astype(float)
    halves = np.array_split(positions, 2)
    kinds = internal_coordinates(start)
    wavenumbers, density = spectrum(velocities, start.get_masses(), settings["timestep"] * settings["interval"])
    return {
        "histograms": {kind: histogram(positions, atoms) for kind, atoms in kinds.items()},
        "halves": {kind: [histogram(half, atoms) for half in halves] for kind, atoms in kinds.items()},
        "wavenumbers": wavenumbers,
        "spectrum": density,
    }


def internal_coordinates(atoms):
    """Bonds and angles of a molecule, by the elements along them."""
    near = build_neighbor_list(atoms, natural_cutoffs(atoms, 1.2), self_interaction=False, bothways=True)
    bonded = {i: sorted(int(j) for j in near.get_neighbors(i)[0]) for i in range(len(atoms))}
    found = {}
    for i, others in bonded.items():
        rows = [(i, j) for j in others if i < j] + [(j, i, k) for j, k in itertools.combinations(others, 2)]
        for row in rows:
            symbols = [atoms.symbols[place] for place in row]
            found.setdefault("–".join(min(symbols, symbols[::-1])), []).append(row)
    return dict(sorted(found.items(), key=lambda item: (item[0].count("–"), item[0])))


def histogram(positions, rows):
    """Shares of the values of bonds (2 atoms) or angles (3) in each bin."""
    rows = np.array(rows)
    first, middle = positions[:, rows[:, 0]], positions[:, rows[:, 1]]
    values = np.linalg.norm(first - middle, axis=-1)
    if rows.shape[1] == 3:
        other = positions[:, rows[:, 2]] - middle
        cosine = ((first - middle) * other).sum(-1) / (values * np.linalg.norm(other, axis=-1))
        values = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    counts, _ = np.histogram(values, BINS[rows.shape[1]])
    return counts / values.size


def spectrum(velocities, masses, spacing):
    """Wavenumbers (cm⁻¹) and the density of vibrations, of unit area: the Fourier transform of Σ m ⟨v(0)·v(t)⟩."""
    flat = velocities.reshape(len(velocities), -1)
    segment = min(len(flat), round(SEGMENT / spacing))
    frequencies, power = welch(flat, fs=1 / spacing, window="hann", nperseg=segment, detrend=False, axis=0)
    density = power @ np.repeat(masses, 3)
    wavenumbers = frequencies * PER_CM
    return wavenumbers, density / (density.sum() * (wavenumbers[1] - wavenumbers[0]))


def overlap(p, q):
    """The common area of two histograms of unit area: 1 where they are equal."""
    return float(np.minimum(p, q).sum())


def peaks(wavenumbers, density):
    """Wavenumbers of the peaks of a spectrum."""
    vibrations = wavenumbers > LOWEST
    places, _ = find_peaks(density[vibrations], prominence=PROMINENCE * density[vibrations].max())
    return wavenumbers[vibrations][places]


def compare(ours, theirs):
    """Overlaps of distributions, those of the reference's halves with each other, and shifts of its peaks."""
    found, wanted = peaks(ours["wavenumbers"], ours["spectrum"]), peaks(theirs["wavenumbers"], theirs["spectrum"])
    shifts = [float(np.abs(found - peak).min()) for peak in wanted] if len(found) else []
    spacing = theirs["wavenumbers"][1] - theirs["wavenumbers"][0]
    spectrum_there = np.interp(theirs["wavenumbers"], ours["wavenumbers"], ours["spectrum"])  # a short run is coarser
    return {
        "overlaps": {kind: overlap(ours["histograms"][kind], p) for kind, p in theirs["histograms"].items()},
        "overlaps_of_halves": {kind: overlap(*halves) for kind, halves in theirs["halves"].items()},
        "spectrum_overlap": overlap(spectrum_there * spacing, np.asarray(theirs["spectrum"]) * spacing),
        "peaks": wanted.tolist(),
        "mean_shift": float(np.mean(shifts)) if shifts else None,
        "largest_shift": max(shifts, default=None),
    }
