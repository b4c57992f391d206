"""Predictions beside the structures of a file."""

import io
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
import torch

from ..config import InputError
from ..data import Batch, Structure, atoms_from_structure, graph_from_structure, open_structures, structure_files
from ..models import EnergyModel, Engine, PropertyModel, check_elements, load, resolve_device
from ..records import Record, appearing_whole, fingerprint

_SUFFIXES = (".extxyz", ".xyz")
_MAX_EDGES = 50_000

_Said = tuple[dict[str, Any], dict[str, np.ndarray]]
"""What is written of a structure, and of each of its atoms."""


def predict(
    model: EnergyModel | str | Path,
    source: str | Path,
    target: str | Path,
    *,
    device: str = "auto",
    radial: str = "table",
    max_edges: int = _MAX_EDGES,
    progress: Callable[[int, int], None] | None = None,
) -> Record:
    """Write the structures of `source` to `target` (extxyz), each with what the model says of it.

    A structure keeps what it had and gains `pred_energy` (eV), `pred_forces` (eV/Å) and, with three periodic lattice
    vectors, `pred_stress` (eV/Å³, nine numbers, row by row); from a property model `pred_<target>` of each target.
    `target` appears whole or not at all; what stood there is replaced. Memory grows neither with the file nor beyond
    batches of `max_edges` edges. `radial` is that of `subduce.models.Engine`. `progress` is called with the number of
    structures done and in all.

    Raises `InputError` for files that cannot be read and for an element that the model does not know.
    """
    started, source, target = time.perf_counter(), Path(source), Path(target)
    if target.suffix not in _SUFFIXES:
        raise InputError(f"{target}: predictions are written as extended XYZ; expected a name ending in .extxyz")
    files = [*([model] if isinstance(model, str | Path) else []), *structure_files(source)]
    inputs = {str(path): fingerprint(path) for path in files}
    place = resolve_device(device)
    potential = load(model, device=place).requires_grad_(False) if isinstance(model, str | Path) else model
    engine = Engine(potential, radial=radial)
    structures = open_structures(source)
    images = _images(source, structures)
    done = atoms = 0
    with appearing_whole(target) as stream:
        file = io.TextIOWrapper(stream, "utf-8", write_through=True)
        for group in _groups(structures, potential, max_edges):
            batch = Batch.collate([one for _, one in group]).to(place)
            answers = _properties(potential, batch) if isinstance(potential, PropertyModel) else _answers(engine, batch)
            for (of_structure, of_atoms), image in zip(answers, images, strict=False):
                image.info |= of_structure
                image.arrays |= of_atoms
                ase.io.write(file, image, format="extxyz")
                done, atoms = done + 1, atoms + len(image)
            if progress is not None:
                progress(done, len(structures))
        file.detach()  # or it would close the stream when it goes
    results = {"n_structures": done, "n_atoms": atoms, "output": str(target)}
    settings = {"device": str(place), "radial": radial, "max_edges": max_edges}
    return Record("predict", inputs, settings, results, time.perf_counter() - started)


def _images(source: Path, structures: Iterable[Structure]) -> Iterator[ase.Atoms]:
    """The structures as ASE has them, with all that their file says of them where ASE reads it frame by frame."""
    if source.suffix in _SUFFIXES:
        return ase.io.iread(source, index=":", format="extxyz")
    return map(atoms_from_structure, structures)


def _groups(
    structures: Iterable[Structure], model: EnergyModel, max_edges: int
) -> Iterator[list[tuple[Structure, Batch]]]:
    """Structures in their order, as many at a time as `max_edges` allows."""
    group, edges = [], 0
    for structure in structures:
        check_elements(model, structure.atomic_numbers.tolist(), source=structure.source)
        one = graph_from_structure(structure, model.cutoff)
        if group and edges + one.graph.num_edges > max_edges:
            yield group
            group, edges = [], 0
        group.append((structure, one))
        edges += one.graph.num_edges
    if group:
        yield group


def _answers(engine: Engine, batch: Batch) -> Iterator[_Said]:
    """Energy, forces and stress of each structure."""
    said = engine(batch.graph, stress=bool(batch.graph.pbc.all(-1).any()))
    sizes = batch.graph.atoms_per_structure().tolist()
    stress = said.stress if said.stress is not None else batch.graph.cell
    forces = torch.split(said.forces.cpu(), sizes)  # type: ignore[union-attr]
    periodic = batch.graph.pbc.all(-1).tolist()
    for energy, part, tensor, repeats in zip(said.energy.tolist(), forces, stress.cpu(), periodic, strict=True):
        of_structure = {"pred_energy": energy} | ({"pred_stress": tensor.numpy().reshape(-1)} if repeats else {})
        yield of_structure, {"pred_forces": part.numpy()}


def _properties(model: PropertyModel, batch: Batch) -> Iterator[_Said]:
    """Every property of each structure and of its atoms; tensors are flat, as a line of extended XYZ holds them."""
    sizes = batch.graph.atoms_per_structure().tolist()
    with torch.no_grad():
        said = {name: values.reshape(len(values), -1).squeeze(1).cpu() for name, values in model(batch.graph).items()}
    of_atoms = {name for name, target in model.targets.items() if target.rows_of_atoms}
    rows = {name: values.split(sizes) if name in of_atoms else values.unbind() for name, values in said.items()}
    for place in range(len(sizes)):
        found = {name: values[place].numpy() for name, values in rows.items()}
        yield (
            {f"pred_{name}": one if one.ndim else one.item() for name, one in found.items() if name not in of_atoms},
            {f"pred_{name}": one for name, one in found.items() if name in of_atoms},
        )
