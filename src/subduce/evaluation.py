"""How wrong a model is: errors by target, by species and by kind of structure, and the laws it keeps."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from ase.data import chemical_symbols
from jaxtyping import Bool, Float
from torch import Tensor, nn

from .data import Batch, EdgeBudgetSampler, Graph, GraphDataset, LabelKeys, open_structures, structure_files
from .models import (
    EnergyModel,
    Engine,
    Prediction,
    PropertyModel,
    check_elements,
    energies_only,
    forces_and_stress,
    load,
    resolve_device,
)
from .o3 import random_rotations
from .records import Record, fingerprint

TARGETS = ("per_atom_energy", "total_energy", "forces", "stress")
"""What errors of potentials are counted for: eV, eV, eV/Å, eV/Å³; forces and stress by Cartesian component."""

Answer = Prediction | Mapping[str, Tensor]
"""What a model says of a batch: energies and their derivatives, or properties by name."""


class Dataset(Protocol):
    """What can be learnt from and evaluated: batches by their rows, as `subduce.data.GraphDataset` gives them."""

    @property
    def num_edges(self) -> np.ndarray:
        """Number of edges of each structure."""
        ...

    @property
    def config_types(self) -> Sequence[str]:
        """The kind of each structure, empty where it has none."""
        ...

    def batch(self, indices: Sequence[int]) -> Batch:
        """Some structures as one batch."""
        ...

    def __len__(self) -> int: ...


class Errors:
    """Sums of absolute and squared errors that grow batch by batch, in float64.

    Labels that a structure lacks (NaN) are not counted. `sums` can be added over processes.
    """

    def __init__(self, device: torch.device | str = "cpu", targets: Sequence[str] = TARGETS) -> None:
        self.device, self.targets = torch.device(device), tuple(targets)
        options = {"dtype": torch.float64, "device": device}
        self.totals = torch.zeros(len(targets), 3, **options)  # absolute, squared, count
        # The same by atomic number, of what each atom has.
        self.species = torch.zeros(len(targets), len(chemical_symbols), 3, **options)
        self.size = torch.zeros(2, **options)  # structures, atoms

    @property
    def sums(self) -> tuple[Tensor, ...]:
        """Everything that adds up, as tensors that may be changed in place."""
        return self.totals, self.species, self.size

    def add(self, prediction: Answer, batch: Batch) -> Float[Tensor, "structures targets 3"]:
        """Count a batch; returns the sums of each of its structures."""
        graph = batch.graph
        by_structure = graph.cell.new_zeros(graph.num_structures, len(self.targets), 3)
        for place, name in enumerate(self.targets):
            values = predicted(name, prediction, batch)
            if values is not None:
                sums = _sums(values, *reference(name, batch))
                if len(sums) > graph.num_structures or name == "forces":
                    self.species[place].index_add_(0, graph.atomic_numbers, sums)
                    sums = graph.sum_atoms(sums)
                by_structure[:, place] = sums
        self.totals += by_structure.sum(0)
        self.size += self.size.new_tensor([graph.num_structures, graph.num_atoms])
        return by_structure

    def metrics(self, *, species: bool = False) -> dict[str, float]:
        """Mean absolute and root-mean-square errors, in eV and Å or a target's unit; none without labels."""
        found = _metrics(self.targets, self.totals)
        for number in self.species[..., 2].sum(0).nonzero().flatten().tolist() if species else ():
            found |= _metrics(self.targets, self.species[:, number], f"_{chemical_symbols[number]}")
        return found


def reference(name: str, batch: Batch) -> tuple[Tensor, Bool[Tensor, "*rows"]]:
    """The labels of one target, and which of them are known; one row a structure, or an atom where each has one.

    What is not known is zero, so that a derivative of a difference stays finite.
    """
    graph, labels = batch.graph, batch.labels
    match name:
        case "per_atom_energy":
            values = labels.energy / graph.atoms_per_structure()
        case "total_energy":
            values = labels.energy
        case "forces":
            values = labels.forces
        case "stress":
            values = labels.stress
        case _:
            values = labels.properties.get(name)
            if values is None:
                raise ValueError(f"no target is called {name!r}; there are {', '.join([*TARGETS, *labels.properties])}")
    known = ~values.isnan()
    if name == "stress":  # without three lattice vectors there is no volume to divide by
        known = known & graph.pbc.all(-1)[:, None, None]
    return torch.where(known, values, 0.0), known


def predicted(name: str, prediction: Answer, batch: Batch) -> Tensor | None:
    """What to compare with the labels of one target; None where it was not predicted."""
    if isinstance(prediction, Mapping):
        return prediction.get(name)
    match name:
        case "per_atom_energy":
            return prediction.energy / batch.graph.atoms_per_structure()
        case "total_energy":
            return prediction.energy
        case "forces":
            return prediction.forces
        case _:
            return prediction.stress


def evaluate(
    model: EnergyModel | str | Path,
    data: Dataset | str | Path,
    *,
    device: str = "auto",
    radial: str = "table",
    batch_size: int = 32,
    max_edges: int | None = 100_000,
    stress: bool = True,
    parity_points: int = 5000,
    on_progress: Callable[[int, int], None] | None = None,
) -> Record:
    """Errors of a model on a data set.

    Both may be paths; a model that was loaded stays where it is when `device` is "auto". `radial` is that of
    `subduce.models.Engine`. `results` holds `n_structures`, `n_atoms`, `<target>_mae` and `<target>_rmse` (eV, Å;
    those of properties in their `units`), those of forces and other properties of atoms per species
    (`forces_mae_H`), per kind of structure below `by_config_type` where structures have one, and `parity`: up to
    `parity_points` pairs of reference and prediction by target, a random choice that is the same each time. A target
    without labels is absent. Memory does not grow with the data. `on_progress(done, total)` counts structures.

    Raises `InputError` for files that cannot be read and elements that the model does not know.
    """
    began = time.monotonic()
    files = [model] if isinstance(model, str | Path) else []
    files += structure_files(data) if isinstance(data, str | Path) else []
    inputs = {str(path): fingerprint(path) for path in files}
    model = _placed(model, device)
    data = _opened(data, model)
    targets = targets_of(model)
    kinds, errors, groups = data.config_types, Errors(_device_of(model), targets), _Groups(targets)
    pairs = {name: _Pairs(parity_points) for name in targets if name != "total_energy"}
    done, sampler = 0, EdgeBudgetSampler(data.num_edges, batch_size=batch_size, max_edges=max_edges)
    engine = Engine(model, radial=radial)
    with evaluating(model):
        for rows in sampler:
            batch = data.batch(rows).to(errors.device)
            if isinstance(model, PropertyModel):
                prediction = predict(model, batch)
            else:
                derivatives, with_stress = _labelled(batch, stress)
                prediction = engine(batch.graph, derivatives=derivatives, stress=with_stress)
            groups.add([kinds[row] for row in rows], errors.add(prediction, batch), batch.graph)
            for name, kept in pairs.items():
                kept.add(predicted(name, prediction, batch), *reference(name, batch))
            done += len(rows)
            if on_progress is not None:
                on_progress(done, len(data))
    results = _size(errors.size) | errors.metrics(species=True) | groups.results()
    if isinstance(model, PropertyModel):
        results["units"] = {name: target.unit for name, target in model.targets.items()}
    results["parity"] = {name: kept.results() for name, kept in pairs.items() if len(kept.pairs)}
    settings = {
        "device": str(errors.device),
        "radial": radial,
        "batch_size": batch_size,
        "max_edges": max_edges,
        "stress": stress,
    }
    return Record("evaluate", inputs, settings, results, time.monotonic() - began)


@contextmanager
def evaluating(model: EnergyModel) -> Iterator[None]:
    """The model in evaluation mode, and afterwards in the mode that it was in."""
    training = isinstance(model, nn.Module) and model.training
    if isinstance(model, nn.Module):
        model.eval()
    try:
        yield
    finally:
        if isinstance(model, nn.Module):
            model.train(training)


def targets_of(model: object) -> tuple[str, ...]:
    """What errors of a model are counted for."""
    return tuple(model.targets) if isinstance(model, PropertyModel) else TARGETS


def predict(model: EnergyModel, batch: Batch, *, stress: bool = True, create_graph: bool = False) -> Answer:
    """What a model says of a batch, with the derivatives that the batch has labels for and no others."""
    if isinstance(model, PropertyModel):
        with torch.set_grad_enabled(create_graph):
            return model(batch.graph)
    derivatives, stress = _labelled(batch, stress)
    if not create_graph and not derivatives:
        return energies_only(model, batch.graph)
    return forces_and_stress(model, batch.graph, stress=stress, create_graph=create_graph)


def _labelled(batch: Batch, stress: bool) -> tuple[bool, bool]:
    """Whether there is a label of any derivative, and one of stress that is asked for."""
    stress = stress and not bool(batch.labels.stress.isnan().all())
    return stress or not bool(batch.labels.forces.isnan().all()), stress


def equivariance_error(
    model: EnergyModel, graph: Graph, *, generator: torch.Generator, rotations: int = 4
) -> dict[str, float]:
    """How far a model is from equivariance: the largest change under random rotations, each with inversion too.

    `energy` is the change of an energy per atom (eV), `forces` that of a force turned back (eV/Å).
    """
    turns = random_rotations(rotations, generator=generator).to(graph.positions)
    reference = forces_and_stress(model, graph, stress=False)
    worst = {"energy": 0.0, "forces": 0.0}
    for turn in torch.cat([turns, -turns]):
        turned = graph.replace(positions=graph.positions @ turn.T, cell=graph.cell @ turn.T)
        found = forces_and_stress(model, turned, stress=False)
        energy = (found.energy - reference.energy) / graph.atoms_per_structure()
        forces = found.forces @ turn - reference.forces  # type: ignore[operator]
        worst["energy"] = max(worst["energy"], energy.abs().max().item())
        worst["forces"] = max(worst["forces"], forces.abs().max().item())
    return worst


def energy_drift(times: Sequence[float], energies: Sequence[float], num_atoms: int) -> float:
    """The slope of the total energy of a trajectory, meV per atom per ps, by least squares.

    `times` are in fs, `energies` the total energies in eV.

    >>> round(energy_drift([0.0, 500.0, 1000.0], [-5.0, -4.999, -4.998], num_atoms=2), 6)
    1.0
    """
    if len(times) != len(energies) or len(times) < 2:
        raise ValueError(f"a drift needs as many times as energies, at least 2; got {len(times)} and {len(energies)}")
    t = np.asarray(times, dtype=float) / 1000.0
    e = np.asarray(energies, dtype=float) * 1000.0 / num_atoms
    t = t - t.mean()
    return float(t @ (e - e.mean()) / (t @ t))


class _Groups:
    """Errors of structures by their kind."""

    def __init__(self, targets: Sequence[str]) -> None:
        self.targets = targets
        self.groups: dict[str, tuple[Tensor, Tensor]] = {}

    def add(self, kinds: Sequence[str], sums: Float[Tensor, "structures targets 3"], graph: Graph) -> None:
        """Count the structures of a batch."""
        atoms = graph.atoms_per_structure().tolist()
        for kind, one, count in zip(kinds, sums.cpu(), atoms, strict=True):
            totals, size = self.groups.get(kind, (0.0, 0.0))
            self.groups[kind] = (totals + one, size + torch.tensor([1.0, count], dtype=torch.float64))

    def results(self) -> dict[str, Any]:
        """Metrics by kind, where structures have one."""
        if not any(self.groups):
            return {}
        found = {
            kind: _size(size) | _metrics(self.targets, totals) for kind, (totals, size) in sorted(self.groups.items())
        }
        return {"by_config_type": found}


class _Pairs:
    """A random choice of at most `limit` pairs from a stream: those whose random keys are smallest."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.generator = torch.Generator().manual_seed(0)
        self.keys = torch.empty(0, dtype=torch.float64)
        self.pairs = torch.empty(0, 2, dtype=torch.float64)

    def add(self, values: Tensor | None, reference: Tensor, known: Tensor) -> None:
        """Consider the pairs of a batch."""
        if values is None:
            return
        new = torch.stack([reference[known], values[known].detach()], dim=-1).cpu()
        keys = torch.rand(len(new), generator=self.generator, dtype=torch.float64)
        self.keys, self.pairs = torch.cat([self.keys, keys]), torch.cat([self.pairs, new])
        if len(self.keys) > self.limit:
            chosen = self.keys.argsort()[: self.limit].sort().values
            self.keys, self.pairs = self.keys[chosen], self.pairs[chosen]

    def results(self) -> dict[str, list[float]]:
        reference, predicted = self.pairs.T.tolist()
        return {"reference": reference, "predicted": predicted}


def _sums(values: Tensor, reference: Tensor, known: Tensor) -> Float[Tensor, "rows 3"]:
    """Absolute errors, squared errors and how many, of each row."""
    rows = len(known)
    error = torch.where(known, values.detach() - reference, 0.0).reshape(rows, -1)
    count = known.reshape(rows, -1).to(error.dtype)
    return torch.stack([error.abs().sum(-1), error.square().sum(-1), count.sum(-1)], dim=-1)


def _metrics(targets: Sequence[str], totals: Float[Tensor, "targets 3"], suffix: str = "") -> dict[str, float]:
    found = {}
    for name, (absolute, squared, count) in zip(targets, totals.tolist(), strict=True):
        if count:
            found[f"{name}_mae{suffix}"] = absolute / count
            found[f"{name}_rmse{suffix}"] = (squared / count) ** 0.5
    return found


def _size(size: Tensor) -> dict[str, Any]:
    structures, atoms = size.tolist()
    return {"n_structures": int(structures), "n_atoms": int(atoms)}


def _device_of(model: EnergyModel) -> torch.device:
    tensors = [*model.parameters(), *model.buffers()] if isinstance(model, nn.Module) else []
    return tensors[0].device if tensors else torch.device("cpu")


def _placed(model: EnergyModel | str | Path, device: str) -> EnergyModel:
    if isinstance(model, str | Path):
        return load(model, device=resolve_device(device))
    return model.to(resolve_device(device)) if device != "auto" and isinstance(model, nn.Module) else model  # type: ignore


def _opened(data: Dataset | str | Path, model: EnergyModel) -> Dataset:
    if not isinstance(data, str | Path):
        return data
    keys = None
    if isinstance(model, PropertyModel):
        keys = LabelKeys(properties=tuple(target.label(name) for name, target in model.targets.items()))
    dataset = GraphDataset(open_structures(data, keys=keys), model.cutoff)
    if isinstance(model, PropertyModel) and all(len(dataset.missing(name)) == len(dataset) for name in model.targets):
        dataset.require(model.targets)
    for row in range(len(dataset)):
        check_elements(model, dataset.atomic_numbers(row).tolist(), source=dataset.source(row))
    return dataset
