"""A model on a GPU with its launches recorded once, and replayed as one for as long as the edges stay the same."""

import warnings

import torch
from torch import Tensor

from ..data import Graph
from ._derivatives import forces_and_stress
from ._interface import EnergyModel, Prediction

_MOST_EDGES = 200_000  # above, the device has more to do than the host to launch


class Replayed:
    """`forces_and_stress` of one model, replayed from its second call with the same edges on a GPU.

    A small system costs the host more for launching kernels than the device for running them. A list of pairs with a
    skin stays for many steps of dynamics, and its edges beyond the cutoff count for nothing, so all these steps are one
    recording (CUDA graph) on memory that stays, of which positions and cell are exchanged. What cannot be recorded,
    since the model makes the host wait, is evaluated as usual, with a warning.
    """

    def __init__(self, model: EnergyModel) -> None:
        self._model = model
        self._key: tuple[object, ...] = ()
        self._recording: _Recording | None = None
        self._gave_up = False

    def __call__(self, graph: Graph, *, stress: bool) -> Prediction:
        """Energies, forces and, if asked for, stress."""
        if self._gave_up or not graph.positions.is_cuda or graph.num_edges > _MOST_EDGES:
            return forces_and_stress(self._model, graph, stress=stress)
        key = (graph.sender, graph.receiver, graph.shifts, graph.atomic_numbers, stress)
        if len(key) != len(self._key) or any(one is not other for one, other in zip(key, self._key, strict=True)):
            self._key, self._recording = key, None
            return forces_and_stress(self._model, graph, stress=stress)  # compiles what was not, outside a recording
        if self._recording is None:
            try:
                self._recording = _Recording(self._model, graph, stress)
            except RuntimeError as error:
                self._gave_up = True
                warnings.warn(f"launches cannot be recorded, which is slower for small systems: {error}", stacklevel=3)
                return forces_and_stress(self._model, graph, stress=stress)
        return self._recording.replay(graph)


class _Recording:
    def __init__(self, model: EnergyModel, graph: Graph, stress: bool) -> None:
        self._graph = graph.replace(positions=graph.positions.clone(), cell=graph.cell.clone())
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # once before, as recordings ask for
            forces_and_stress(model, self._graph, stress=stress)
        torch.cuda.current_stream().wait_stream(aside)
        self._launches = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._launches):
            self._found = forces_and_stress(model, self._graph, stress=stress)

    def replay(self, graph: Graph) -> Prediction:
        self._graph.positions.copy_(graph.positions)
        self._graph.cell.copy_(graph.cell)
        self._launches.replay()
        found = self._found
        return Prediction(found.energy.clone(), found.energies.clone(), _copy(found.forces), _copy(found.stress))


def _copy(values: Tensor | None) -> Tensor | None:
    return None if values is None else values.clone()
