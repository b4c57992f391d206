"""The potential as an ASE calculator."""

import warnings
from collections.abc import Callable
from pathlib import Path

import ase
import torch
from ase.calculators.calculator import Calculator as ASECalculator
from ase.calculators.calculator import all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from .. import kernels
from ..config import InputError
from ..data import Graph, SkinList
from ..models import (
    EnergyModel,
    Engine,
    Potential,
    Prediction,
    PropertyModel,
    check_elements,
    load,
    resolve_device,
)

_DERIVATIVES = {"forces", "stress"}


class Calculator(ASECalculator):
    """Energies (eV), forces (eV/Å) and stress (eV/Å³, Voigt xx yy zz yz xz xy) of a model, for ASE.

    `model` is the path of a model file, or a model. `device` "auto" takes a GPU where there is one;
    a model that was handed over stays where it is. `dtype` runs the network in another precision
    than it was trained in. On a CPU a potential runs as a program, with splines in place of its radial
    networks (see `subduce.models.Engine`); `radial` "exact" turns that off. The neighbour list is kept
    until an atom has moved half the `skin` (Å).

    What was asked of the last geometry is computed together for the next, so dynamics at
    constant pressure costs one pass a step, and energies alone cost no derivative.

    Raises `InputError` for an element that the model does not know, for positions that are not
    finite and for a periodic cell without volume.
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress"]  # noqa: RUF012, as ASE has it

    def __init__(
        self,
        model: EnergyModel | str | Path,
        *,
        device: str = "auto",
        backend: str = "auto",
        dtype: torch.dtype | str | None = None,
        radial: str = "table",
        skin: float = 0.5,
    ) -> None:
        super().__init__()
        if backend != "auto" and backend not in kernels.available():
            raise ValueError(f"backend must be auto or one of {', '.join(kernels.available())}, got {backend!r}")
        self.model, self.device = _placed(model, device, backend, dtype)
        self._engine = Engine(self.model, radial=radial)
        self._neighbors = SkinList(self.model.cutoff, skin=skin)
        self._moved: tuple[Graph, Graph] | None = None
        self._asked: set[str] = set()
        self._warned = False

    def get_property(self, name: str, atoms: ase.Atoms | None = None, allow_calculation: bool = True):
        """One property of `atoms`, from the last calculation where nothing has changed."""
        value = super().get_property(name, atoms, allow_calculation)
        if allow_calculation:
            self._asked.add(name)
        return value

    def calculate(
        self,
        atoms: ase.Atoms | None = None,
        properties: list[str] | tuple[str, ...] = ("energy",),
        system_changes: list[str] = all_changes,
    ) -> None:
        """Compute `properties` of `atoms` into `results`, as ASE asks."""
        super().calculate(atoms, properties, system_changes)
        atoms = atoms if atoms is not None else self.get_atoms()
        wanted = set(properties) | self._asked
        if system_changes:
            self._asked = set(properties)
        prediction = self.predict(self.pairs(atoms), wanted)
        energy = prediction.energy.item()
        self.results = {"energy": energy, "free_energy": energy, "energies": prediction.energies.cpu().numpy()}
        if prediction.forces is not None:
            self.results["forces"] = prediction.forces.cpu().numpy()
        if prediction.stress is not None and atoms.pbc.all():
            self.results["stress"] = full_3x3_to_voigt_6_stress(prediction.stress[0].cpu().numpy())

    def graph(self, atoms: ase.Atoms) -> Graph:
        """The graph of `atoms` on the model's device, with the edges of the last one where they still hold."""
        return self._graph(atoms, self._neighbors.graph)

    def pairs(self, atoms: ase.Atoms) -> Graph:
        """The same with the edges of the skin, which count for nothing: what `calculate` asks the model about."""
        return self._graph(atoms, self._neighbors.pairs)

    def predict(self, graph: Graph, properties: set[str]) -> Prediction:
        """The model's answer to a graph, with the derivatives that `properties` need and no others."""
        return self._engine(graph, derivatives=bool(properties & _DERIVATIVES), stress="stress" in properties)

    def _graph(self, atoms: ase.Atoms, search: Callable[..., Graph]) -> Graph:
        self._check(atoms)
        try:
            graph = search(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
        except ValueError as error:  # positions that are not finite, a periodic cell without volume
            raise InputError(f"{atoms.get_chemical_formula()}: {error}") from None
        return self._there(graph)

    def _there(self, graph: Graph) -> Graph:
        """The graph on the model's device, where what stays from step to step is the same tensor each time."""
        if self.device.type == "cpu":
            return graph
        if self._moved is None or self._moved[0].sender is not graph.sender:
            self._moved = graph, graph.to(self.device)
        moved = self._moved[1]
        return moved.replace(positions=graph.positions.to(self.device), cell=graph.cell.to(self.device))

    def _check(self, atoms: ase.Atoms) -> None:
        check_elements(self.model, atoms.numbers.tolist(), source=atoms.get_chemical_formula())
        ignored = [name for name in ("charge", "spin") if atoms.info.get(name)]
        if ignored and not self._warned:
            self._warned = True
            warnings.warn(
                f"{' and '.join(ignored)} of the structure ignored: the model has no such input", stacklevel=2
            )


def _placed(
    model: EnergyModel | str | Path, device: str, backend: str, dtype: torch.dtype | str | None
) -> tuple[EnergyModel, torch.device]:
    """The model in its precision, with its backend, and on its device."""
    name = str(dtype).removeprefix("torch.") if dtype is not None else None
    if name not in (None, "float32", "float64"):
        raise ValueError(f"dtype must be float32 or float64, got {name}")
    if isinstance(model, str | Path):
        loaded = load(model, device=resolve_device(device), dtype=name).requires_grad_(False)
        if isinstance(loaded, PropertyModel):
            what = ", ".join(loaded.targets)
            raise InputError(f"{model}: predicts {what}, and energies are needed; `subduce predict` writes properties")
        model = loaded
    elif device != "auto" and isinstance(model, torch.nn.Module):
        model = model.to(resolve_device(device))
    if isinstance(model, Potential):
        model = _rebuilt(model, backend, name or model.config.model_dtype)
    elif name is not None or backend != "auto":
        raise ValueError(f"dtype and backend are chosen for a Potential or its file, not for {type(model).__name__}")
    tensors = [*model.parameters(), *model.buffers()] if isinstance(model, torch.nn.Module) else []
    return model, tensors[0].device if tensors else torch.device("cpu")


def _rebuilt(model: Potential, backend: str, dtype: str) -> Potential:
    """The potential with another backend or precision; itself where nothing differs."""
    if backend not in ("auto", model.backend):
        other = Potential(model.config, backend=backend)
        other.load_state_dict(model.state_dict())
        model = other.to(model.embedding.device).eval()
    return model if dtype == model.config.model_dtype else model.with_dtype(dtype)
