"""What every model of energies promises, and what is asked of it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from ase.data import chemical_symbols
from jaxtyping import Float
from torch import Tensor

from ..axes import AtomEnergies
from ..config import InputError
from ..data import Graph


@runtime_checkable
class EnergyModel(Protocol):
    """Anything that gives each atom an energy (eV), as a pure function of a graph.

    `cutoff` (Å) is the range within which the graph must hold every edge; `elements` are the
    atomic numbers that the model knows, empty where it knows all.
    """

    cutoff: float
    elements: tuple[int, ...]

    def __call__(self, graph: Graph) -> AtomEnergies:
        """The energy of each atom, eV, float64."""
        ...


@dataclass(frozen=True)
class Prediction:
    """What a model says of a batch. Stress is NaN for structures without three lattice vectors."""

    energy: Float[Tensor, " structures"]  # eV
    energies: AtomEnergies  # eV
    forces: Float[Tensor, "atoms 3"] | None  # eV/Å
    stress: Float[Tensor, "structures 3 3"] | None  # eV/Å³, positive in tension

    def plus(self, other: "Prediction") -> "Prediction":
        """The sum of two predictions, of what both have."""

        def both(one: Tensor | None, two: Tensor | None) -> Tensor | None:
            return None if one is None or two is None else one + two

        return Prediction(
            self.energy + other.energy,
            self.energies + other.energies,
            both(self.forces, other.forces),
            both(self.stress, other.stress),
        )


def check_graph(graph: Graph) -> None:
    """Raise where a graph's tensors do not fit together, `TypeError` or `ValueError`, or are no numbers, `InputError`.

    On a GPU, which numbers there are is not looked at: the host would have to wait.
    """
    for name, tensor in (("positions", graph.positions), ("cell", graph.cell), ("shifts", graph.shifts)):
        if tensor.dtype != torch.float64:
            raise TypeError(
                f"{name}: {tensor.dtype}, and geometry is torch.float64 whatever the dtype of the network; "
                f"give graph.replace({name}=graph.{name}.double())"
            )
    atoms, edges = len(graph.positions), len(graph.sender)
    shapes = {"positions": (atoms, 3), "atomic_numbers": (atoms,), "structure": (atoms,)}
    shapes |= {"sender": (edges,), "receiver": (edges,), "shifts": (edges, 3)}
    for name, expected in shapes.items():
        found = tuple(getattr(graph, name).shape)
        if found != expected:
            raise ValueError(f"{name} has shape {found}, expected {expected} for {atoms} atoms and {edges} edges")
    if graph.positions.device.type == "cpu" and not math.isfinite(graph.positions.sum().item()):
        for atom in (~graph.positions.isfinite().all(-1)).nonzero().flatten().tolist():
            where, place = f"structure {int(graph.structure[atom])}", graph.positions[atom].tolist()
            raise InputError(f"{where}: the position of atom {atom} is not finite: {place}")


def check_elements(model: EnergyModel, atomic_numbers: Iterable[int], *, source: str) -> None:
    """Raise `InputError` where `source` holds elements that the model was not trained on."""
    strange = sorted(set(map(int, atomic_numbers)) - set(model.elements)) if model.elements else []
    if strange:
        names, known = (", ".join(map(_symbol, numbers)) for numbers in (strange, model.elements))
        raise InputError(f"{source}: contains {names}, which the model has never seen; it knows {known}")


def _symbol(number: int) -> str:
    return chemical_symbols[number] if 0 < number < len(chemical_symbols) else f"an atom of number {number}"
