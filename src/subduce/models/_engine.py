"""The engine: a potential for inference, as one program on memory that is kept."""

import math
import warnings
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from ..data import Graph
from ..kernels import Block, GateBlock, GateMap, Program, Rows, available
from ..nn import EquivariantNorm, Matrix, Tabulated
from ._captured import Replayed
from ._derivatives import energies_only, forces_and_stress, stress_of
from ._interface import EnergyModel, Prediction, check_elements, check_graph
from ._potential import Potential
from ._tabulated import tabulated
from ._trunk import Layer


class Engine:
    """Energies, forces and stress of a model, as fast as this machine gives them.

    A potential on a CPU is turned into a program with its radial networks as splines (see `tabulated`) and its
    current weights: one call from positions to forces, without autograd and on memory that is kept from call
    to call, anew when they have changed. On a GPU the launches for a small system are recorded and replayed. Any other
    model, and with `radial="exact"` any, is evaluated as `forces_and_stress` does.

    Splines are refined until the weights of edges agree (see `tabulated`), which keeps energies to 1e-6 and forces to
    1e-5 of the largest. An engine serves one thread of Python at a time.
    """

    def __init__(self, model: EnergyModel, *, radial: str = "table") -> None:
        if radial not in ("exact", "table"):
            raise ValueError(f"radial must be exact or table, got {radial!r}")
        self.model, self.radial = model, radial
        self._compiled: _Compiled | None = None
        self._replayed = Replayed(model)
        self._weights = [*model.parameters()] if isinstance(model, nn.Module) else []
        self._versions: list[int] = []
        self._known: Tensor | None = None  # atomic numbers that were looked at

    @property
    def is_compiled(self) -> bool:
        """Whether a program in C does the work."""
        return self._current() is not None

    def __call__(self, graph: Graph, *, derivatives: bool = True, stress: bool = True) -> Prediction:
        """Energies, with `derivatives` forces, and with `stress` the stress too (see `forces_and_stress`).

        Edges beyond the cutoff count for nothing, so a neighbour list with a skin may be passed on as it is; what was
        made for one is kept for as long as the tensors `sender` and `receiver` are the same.

        Raises `InputError` for positions that are not finite and, on a CPU, for elements that the model does not know;
        `TypeError`, `ValueError` or `IndexError` for tensors that make no graph.
        """
        check_graph(graph)
        if graph.positions.device.type == "cpu" and graph.atomic_numbers is not self._known:
            check_elements(self.model, graph.atomic_numbers.unique().tolist(), source="graph")
            self._known = graph.atomic_numbers
        compiled = self._current() if graph.positions.device.type == "cpu" else None
        if compiled is None and derivatives:
            return self._replayed(graph, stress=stress)
        if compiled is None:
            return energies_only(self.model, graph)
        return compiled(graph, derivatives, stress)

    def _current(self) -> "_Compiled | None":
        """The program with the weights as they are now; None where there is none for this model."""
        versions = [weight._version for weight in self._weights]
        if versions != self._versions:
            self._compiled, self._versions = _compiled(self.model) if self.radial == "table" else None, versions
        return self._compiled


def _compiled(model: EnergyModel) -> "_Compiled | None":
    if not isinstance(model, Potential) or model.backend not in ("auto", "cpu") or not _fits(model):
        return None
    try:
        return _Compiled(model)
    except ValueError as error:  # radial functions too steep for a table
        warnings.warn(f"the exact radial networks are used, which is slower: {error}", stacklevel=4)
        return None


class _Compiled:
    """A potential as a program, and what it keeps of the last graph."""

    def __init__(self, potential: Potential) -> None:
        self._potential = tabulated(potential)
        self._program = _Compiler(self._potential).compile()
        self._species: tuple[Tensor, Tensor] | None = None
        self._translations: tuple[Tensor, Tensor, Tensor] | None = None

    def __call__(self, graph: Graph, derivatives: bool, stress: bool) -> Prediction:
        energies, forces, virials = self._program.run(
            graph.positions,
            self._species_of(graph),
            graph.sender,
            graph.receiver,
            self._translations_of(graph),
            derivatives=derivatives,
        )
        strain = None
        if virials is not None and stress:
            virial = graph.sum_atoms(virials).view(-1, 3, 3)
            strain = stress_of((virial + virial.mT) / 2, graph)
        found = Prediction(graph.sum_atoms(energies), energies, forces, strain)
        repulsion = self._potential.repulsion
        return found if repulsion is None else found.plus(_by_autograd(repulsion, graph, derivatives, stress))

    def _species_of(self, graph: Graph) -> Tensor:
        if self._species is None or self._species[0] is not graph.atomic_numbers:
            self._species = graph.atomic_numbers, self._potential.rows[graph.atomic_numbers]
        return self._species[1]

    def _translations_of(self, graph: Graph) -> Tensor:
        kept = self._translations
        if kept is None or kept[0] is not graph.shifts or not torch.equal(kept[1], graph.cell):
            kept = self._translations = graph.shifts, graph.cell.clone(), graph.translations()
        return kept[2]


def _by_autograd(model: EnergyModel, graph: Graph, derivatives: bool, stress: bool) -> Prediction:
    return forces_and_stress(model, graph, stress=stress) if derivatives else energies_only(model, graph)


def _fits(potential: Potential) -> bool:
    """Whether a program can hold this potential."""
    config = potential.config
    gates = [cast(Layer, layer).gate.map for layer in potential.layers]
    if config.readout_widths:
        gates.append(_scalar_gate(potential, 1))
    degrees = [ir.l for _, ir in config.harmonics()]
    return (
        "cpu" in available()
        and potential.embedding.device.type == "cpu"
        and degrees == list(range(len(degrees)))
        and len(degrees) <= 5
        and all(gate.in_c for gate in gates)
    )


def _scalar_gate(potential: Potential, channels: int) -> GateMap:
    """The activation of the readout."""
    function = potential.readout.activation
    return GateMap([GateBlock(0, channels, function.name, float(function.constant))])


class _Compiler:
    """Turns a potential into a program: forward as `Potential.forward` has it, then every step's reverse."""

    def __init__(self, potential: Potential) -> None:
        self.program = Program(len(potential.config.harmonics()) - 1, potential.cutoff, potential.dtype)
        self._potential = potential
        self._shared: dict[tuple[str, int], Rows] = {}
        self._reverses: list[Callable[[], None]] = []

    def compile(self) -> Program:
        """The program of the whole potential."""
        potential, program = self._potential, self.program
        x = program.rows(potential.embedding.shape[1])
        program.embed(potential.embedding, x)
        dx = None  # what does not depend on positions has no derivative
        for layer in potential.layers:
            x, dx = self._layer(cast(Layer, layer), x, dx)
        if dx is None:
            raise ValueError("a potential has one layer at least")
        output, slopes = self._readout(x, dx)
        program.energies(potential.shifts, potential.scales, output, slopes)
        for reverse in reversed(self._reverses):
            reverse()
        program.finish()
        return program

    def _layer(self, layer: Layer, x: Rows, dx: Rows | None) -> tuple[Rows, Rows]:
        program, convolution, gate = self.program, layer.convolution, layer.gate
        if layer.norm is not None and layer.norm_place == "layer":
            x, dx = self._normed(layer.norm, x, dx)
        plan = convolution.product.plan
        near = (plan, cast(Tabulated, convolution.radial).coefficients, self._potential.cutoff)
        gated = program.rows(gate.irreps_in.dim)
        up, summed = program.rows(plan.irreps_in.dim), self._temporary("summed", plan.irreps_out.dim)
        out, by_out = program.rows(gate.irreps_out.dim), program.rows(gate.irreps_out.dim)
        by_gated = self._temporary("by gated", gated.width)
        by_up = self._temporary("by up", up.width) if dx else None
        before = [
            (place_in, place_out, components, matrix / math.sqrt(convolution.avg_num_neighbors))
            for place_in, place_out, components, matrix in convolution.before.matrices()
        ]
        maps = [_Map(convolution.after.matrices(), summed, gated, summed, by_gated)]
        if layer.self_connection is not None:
            maps.append(_Map(layer.self_connection.matrices(), x, gated, dx, by_gated))
        first = _Map(before, x, up, dx, by_up)

        program.linear(x, up, first.forward(set()))
        program.sum(*near, up, summed)
        written: set[int] = set()
        for one in maps:
            program.linear(one.x, one.out, one.forward(written))

        def reverse() -> None:
            program.linear(by_gated, summed, maps[0].reverse(set()))
            program.slopes(*near, summed, up, by_up)
            reached: set[int] = set()
            for one in (first, *maps[1:]):
                if one.by_x and one.by_out:
                    program.linear(one.by_out, one.by_x, one.reverse(reached))

        self._reverses.append(reverse)
        ready, by_ready = gated, by_gated
        if layer.norm is not None and layer.norm_place == "gate":
            ready, by_ready = self._normed(layer.norm, gated, by_gated)
        program.gate(ready, out, gate.map)
        self._reverses.append(lambda: program.gate(ready, by_out, gate.map, dx=by_ready))
        return out, by_out

    def _normed(self, norm: EquivariantNorm, x: Rows, dx: Rows | None) -> tuple[Rows, Rows | None]:
        """A norm, and where derivatives by its result go, if any are wanted."""
        program, given = self.program, (norm.map, norm.weight, norm.bias)
        out, by_out = program.rows(x.width), program.rows(x.width) if dx else None
        program.norm(x, out, *given)
        if by_out:
            self._reverses.append(lambda: program.norm(x, by_out, *given, dx=dx))
        return out, by_out

    def _readout(self, x: Rows, dx: Rows) -> tuple[Rows, Rows]:
        """The network on the scalars of the last layer, one number an atom at its end, and where its slope goes."""
        program, readout = self.program, self._potential.readout
        place = self._potential.scalar_place
        start, channels = place.start, place.stop - place.start
        for i, weight in enumerate(readout.weights):
            channels_in, channels_out = weight.shape
            if channels_in != channels:
                raise ValueError(f"the readout takes {channels_in} numbers where there are {channels}")
            channels = channels_out
            out, by_out = program.rows(channels_out), program.rows(channels_out)
            places = (slice(start, start + channels_in), slice(0, channels_out))
            one = _Map([(*places, 1, weight / math.sqrt(channels_in))], x, out, dx, by_out)
            program.linear(x, out, one.forward(set()))
            self._reverses.append(lambda one=one, dx=dx, by_out=by_out: program.linear(by_out, dx, one.reverse(set())))
            x, dx, start = out, by_out, 0
            if i < len(readout.weights) - 1:
                gate = _scalar_gate(self._potential, channels_out)
                out, by_out = program.rows(channels_out), program.rows(channels_out)
                program.gate(x, out, gate)
                self._reverses.append(lambda x=x, by_out=by_out, gate=gate, dx=dx: program.gate(x, by_out, gate, dx=dx))
                x, dx = out, by_out
        return x, dx

    def _temporary(self, use: str, width: int) -> Rows:
        """Memory that layers share, since each writes all of it before it is read."""
        if (use, width) not in self._shared:
            self._shared[use, width] = self.program.rows(width)
        return self._shared[use, width]


class _Map:
    """A linear map of the model between rows of the program, and between those of their derivatives."""

    def __init__(self, matrices: list[Matrix], x: Rows, out: Rows, by_x: Rows | None, by_out: Rows | None) -> None:
        self.matrices, self.x, self.out, self.by_x, self.by_out = matrices, x, out, by_x, by_out

    def forward(self, written: set[int]) -> list[Block]:
        """Blocks from x to the result; those that `written` tells of are added to, the others set."""
        return [
            Block(place_in.start, place_out.start, components, matrix, _again(place_out.start, written))
            for place_in, place_out, components, matrix in self.matrices
        ]

    def reverse(self, written: set[int]) -> list[Block]:
        """Blocks from the derivatives by the result to those by x."""
        return [
            Block(place_out.start, place_in.start, components, matrix.mT, _again(place_in.start, written))
            for place_in, place_out, components, matrix in self.matrices
        ]


def _again(place: int, written: set[int]) -> bool:
    """Whether this place was written before; from now on it was."""
    before = place in written
    written.add(place)
    return before
