"""What every model of energies promises, and what is asked of it."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from ..axes import AtomEnergies
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
