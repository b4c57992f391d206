"""Programs: a whole model as steps in C, from positions to energies and forces in one call.

What torch's operators do one at a time, with Python and fresh memory between them, is here a list of steps on memory
that is kept (`csrc/kernels.c` says what each computes). Every thread goes through all steps with atoms of its own, and
they meet where one reads what others wrote. Each number is written by one thread and summed in the order of the edges,
so the results are bit for bit the same for any number of threads.
"""

import ctypes
import os
import threading
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..axes import AtomEnergies, AtomIndex, Positions
from . import _library as c
from ._cpu import L_MAX
from ._harmonics import harmonic_terms
from ._library import check_rows, library, pool
from ._plan import ProductPlan
from ._rowwise import GateMap, NormMap
from ._tables import tables

_KINDS = ("edges", "embed", "linear", "sum", "gate", "norm", "energies", "slopes", "pulls", "forces")
_FEW = 1500  # pairs below which a second thread costs more than it saves


class Block(NamedTuple):
    """Channels of one irrep mapped to others: `matrix [channels_in, channels_out]`, by species with a first axis."""

    start_in: int
    start_out: int
    components: int
    matrix: Tensor
    add: bool


@final
class Rows:
    """Memory of a program: `width` numbers for each atom, or for each pair of atoms."""

    def __init__(self, width: int, dtype: torch.dtype, *, of_pairs: bool = False) -> None:
        self.width, self.dtype, self.of_pairs = width, dtype, of_pairs
        self.memory = torch.zeros(0, width, dtype=dtype)
        self.uses: list[tuple[ctypes.Structure, str]] = []

    def make(self, rows: int) -> None:
        """Memory for so many rows, zero where no step will write."""
        self.memory = torch.zeros(rows, self.width, dtype=self.dtype)
        for structure, field in self.uses:
            setattr(structure, field, self.memory.data_ptr())


@final
class Program:
    """Steps from positions to energies and forces, for harmonics up to a degree and edges up to a cutoff (Å).

    Steps are added in the order in which they run, on `Rows` that the program makes; those after `energies` are for
    forces. Raises `ValueError` where C was not compiled or the degree is above 4.
    """

    def __init__(self, l_max: int, cutoff: float, dtype: torch.dtype) -> None:
        code = library()
        if code is None or l_max > L_MAX:
            raise ValueError(f"no program for harmonics of degree {l_max} on this machine")
        self.dtype, self._code = dtype, code
        self._kept: list[Any] = []  # what C points to
        self._rows: list[Rows] = []
        self._steps: list[tuple[str, ctypes.Structure]] = []
        self._graph: tuple[Tensor, ...] = ()
        self._by_graph: list[tuple[ctypes.Structure, str, str]] = []
        self._arrays: dict[str, Tensor] = {}
        self._cuts: list[int] = []
        self._num_species = 0
        self._rows_made = [-1, -1]
        terms = harmonic_terms(l_max)
        self.y_width = (l_max + 1) ** 2
        self._geometry = c.Geometry(cutoff=cutoff, terms=self._hold(terms), num_terms=len(terms), y_width=self.y_width)
        for name in ("first", "other", "leaving_first", "leaving", "last", "sender", "pair"):
            self._by_graph.append((self._geometry, name, name))
        self._positions = self.rows(3, torch.float64)
        self._translations, self._pulls = (self.rows(3, torch.float64, of_pairs=True) for _ in range(2))
        self._forces, self._virials = self.rows(3, torch.float64), self.rows(9, torch.float64)
        self._energies = self.rows(1, torch.float64)
        self._edge = {name: self.rows(self.y_width, of_pairs=True) for name in ("y", "dy")}
        self._edge |= {name: self.rows(1, of_pairs=True) for name in ("r", "dr")}
        own = {
            "positions": self._positions,
            "translations": self._translations,
            "vectors": self.rows(3, torch.float64, of_pairs=True),
            "pulls": self._pulls,
            "u": self.rows(3, of_pairs=True),
            "forces": self._forces,
            "virials": self._virials,
        }
        self._use(self._geometry, own | self._edge)
        self._steps.append(("edges", self._geometry))

    def rows(self, width: int, dtype: torch.dtype | None = None, *, of_pairs: bool = False) -> Rows:
        """Memory that belongs to this program."""
        made = Rows(width, dtype or self.dtype, of_pairs=of_pairs)
        self._rows.append(made)
        return made

    def embed(self, table: Float[Tensor, "species width"], out: Rows) -> None:
        """The row of each atom's species."""
        self._num_species = len(table)
        self._step("embed", c.Embed(rows=self._hold(table.to(self.dtype)), width=out.width), {"out": out}, species=True)

    def linear(self, x: Rows, out: Rows, blocks: Sequence[Block]) -> None:
        """Linear maps from blocks of x to blocks of the result."""
        by_species = bool(blocks) and blocks[0].matrix.dim() == 3
        for block in blocks:
            _check_block(block, x, out, self._num_species if by_species else None)
        table, flat, size = (c.Block * len(blocks))(), [], 0
        for row, block in zip(table, blocks, strict=True):
            *_, channels_in, channels_out = block.matrix.shape
            row.start_in, row.start_out, row.components = block.start_in, block.start_out, block.components
            row.channels_in, row.channels_out, row.add = channels_in, channels_out, block.add
            row.weights, row.width = size, channels_out
            flat.append(block.matrix.detach().to(self.dtype).reshape(len(block.matrix) if by_species else 1, -1))
            size += channels_in * channels_out
        weights = torch.cat(flat, 1) if flat else torch.zeros(1, 0, dtype=self.dtype)
        task = c.Linear(
            blocks=self._hold(table),
            num_blocks=len(blocks),
            x_width=x.width,
            out_width=out.width,
            species_width=size,
            weights=self._hold(weights),
        )
        self._step("linear", task, {"x": x, "out": out}, species=by_species)

    def sum(self, plan: ProductPlan, coefficients: Tensor, r_max: float, x: Rows, out: Rows) -> None:
        """The edge product, with splines of the length as weights, summed at receivers."""
        self._product("sum", plan, coefficients, r_max, {"x": x, "sum": out})

    def slopes(self, plan: ProductPlan, coefficients: Tensor, r_max: float, g: Rows, x: Rows, dx: Rows | None) -> None:
        """Its reverse: derivatives by x, and by harmonics and lengths, which are added up."""
        rows = {"g": g, "x": x, "dy": self._edge["dy"], "dr": self._edge["dr"]}
        self._product("slopes", plan, coefficients, r_max, rows | ({"dx": dx} if dx else {}))

    def gate(self, x: Rows, out: Rows, gate: GateMap, dx: Rows | None = None) -> None:
        """A gate; with `dx`, its reverse: derivatives by x from those by the result, in `out`."""
        self._step("gate", gate.task(), {"x": x, "out": out} | ({"dx": dx} if dx else {}))

    def norm(
        self, x: Rows, out: Rows, norm: NormMap, weights: Tensor, biases: Tensor | None, dx: Rows | None = None
    ) -> None:
        """A norm; with `dx`, its reverse: derivatives by x from those by the result, in `out`."""
        norm.check(weights, biases)
        task = norm.task()
        task.weights = self._hold(weights.to(self.dtype))
        task.bias = None if biases is None else self._hold(biases.to(self.dtype))
        self._step("norm", task, {"x": x, "out": out} | ({"dx": dx} if dx else {}))

    def energies(self, shifts: Tensor, scales: Tensor, output: Rows, slopes: Rows) -> None:
        """Energies of atoms from one number each, and the derivatives of their sum by it; then forces begin."""
        if not len(shifts) == len(scales) == self._num_species:
            raise ValueError(f"{len(shifts)} shifts and {len(scales)} scales for {self._num_species} species")
        if output.width != 1 or slopes.width != 1:
            raise ValueError(f"an energy is made of one number for each atom, got {output.width} and {slopes.width}")
        task = c.Energies(shifts=self._hold(shifts.double()), scales=self._hold(scales.double()))
        self._step("energies", task, {"output": output, "slopes": slopes, "energies": self._energies}, species=True)
        self._forward = len(self._steps)

    def finish(self) -> None:
        """Forces from all derivatives: the last steps."""
        self._steps += [("pulls", self._geometry), ("forces", self._geometry)]
        self._table = (c.Step * len(self._steps))()
        for row, (kind, task) in zip(self._table, self._steps, strict=True):
            row.kind, row.task = _KINDS.index(kind), ctypes.addressof(task)

    def run(
        self,
        positions: Positions,
        species: Int[Tensor, " atoms"],
        sender: AtomIndex,
        receiver: AtomIndex,
        translations: Float[Tensor, "edges 3"],
        *,
        derivatives: bool,
    ) -> tuple[AtomEnergies, Float[Tensor, "atoms 3"] | None, Float[Tensor, "atoms 9"] | None]:
        """Energies of atoms (eV), forces (eV/Å) and Σ vector ⊗ ∂E/∂vector over the edges of each atom (eV).

        `translations` (Å) is added to the vector from receiver to sender. Edges beyond the cutoff count for nothing.
        What was made for the last edges is kept while `sender`, `receiver` and `species` are the same tensors.
        """
        graph = (species, sender, receiver)
        if len(self._graph) != 3 or any(one is not other for one, other in zip(graph, self._graph, strict=True)):
            self._take(*graph)
        if len(self._cuts) != self._threads() + 1:
            self._cut()
        atoms, pairs = len(positions), len(sender)
        self._positions.memory[:atoms].copy_(positions)
        self._translations.memory[:pairs].copy_(translations)
        self._go(len(self._steps) if derivatives else self._forward)
        energies = self._energies.memory[:atoms, 0].clone()
        if not derivatives:
            return energies, None, None
        return energies, self._forces.memory[:atoms].clone(), self._virials.memory[:atoms].clone()

    def _hold(self, table: Any) -> int:
        """The address of a table that lives as long as this program."""
        if isinstance(table, Tensor):
            table = table.detach().cpu().contiguous()
            self._kept.append(table)
            return table.data_ptr()
        self._kept.append(table)
        return ctypes.addressof(table)

    def _use(self, task: ctypes.Structure, rows: dict[str, Rows]) -> None:
        for field, one in rows.items():
            one.uses.append((task, field))

    def _step(self, kind: str, task: ctypes.Structure, rows: dict[str, Rows], *, species: bool = False) -> None:
        self._use(task, rows)
        if species:
            self._by_graph.append((task, "species", "species"))
        self._steps.append((kind, task))

    def _product(self, kind: str, plan: ProductPlan, coefficients: Tensor, r_max: float, rows: dict[str, Rows]) -> None:
        table, intervals = tables(plan, self.dtype), coefficients.shape[0] - 3
        if coefficients.shape[1] != plan.num_weights:
            raise ValueError(f"{coefficients.shape[1]} splines for the {plan.num_weights} weights of {plan.key}")
        spline = c.Spline(
            coefficients=self._hold(coefficients.to(self.dtype)),
            spacing=r_max / intervals,
            intervals=intervals,
            functions=plan.num_weights,
        )
        task = c.Problem(
            paths=self._hold(table.paths),
            index=self._hold(table.index),
            coefficients=self._hold(table.coefficients),
            num_paths=len(plan.paths),
            most_pairs=table.most_pairs,
            x_width=plan.irreps_in.dim,
            y_width=plan.irreps_edge.dim,
            w_width=plan.num_weights,
            g_width=plan.irreps_out.dim,
            table=self._hold(spline),
        )
        for field in ("first", "last", "sender", "num_receivers"):
            self._by_graph.append((task, field, field))
        self._step(kind, task, rows | {"y": self._edge["y"], "r": self._edge["r"]})

    def _take(self, species: Tensor, sender: Tensor, receiver: Tensor) -> None:
        """Make ready for other edges."""
        atoms, pairs = len(species), len(sender)
        _check(species, self._num_species, sender, receiver)
        for of_pairs, needed in ((False, atoms), (True, pairs)):
            if not self._rows_made[of_pairs] * 0.5 <= needed <= self._rows_made[of_pairs]:
                self._rows_made[of_pairs] = needed + needed // 16
                for rows in self._rows:
                    if rows.of_pairs == of_pairs:
                        rows.make(self._rows_made[of_pairs])
        places, (order, leaving_first) = torch.arange(atoms + 1), _by_sender(sender, atoms)
        self._arrays = {
            "species": species.long().contiguous(),
            "first": torch.searchsorted(receiver.contiguous(), places),
            "other": sender.long().contiguous(),
            "leaving_first": leaving_first,
            "leaving": order,
            "last": torch.empty(atoms, dtype=torch.int64),
            "sender": torch.empty(pairs, dtype=torch.int64),
            "pair": torch.empty(pairs, dtype=torch.int64),
        }
        for task, field, name in self._by_graph:
            setattr(task, field, atoms if name == "num_receivers" else self._arrays[name].data_ptr())
        self._graph, self._cuts = (species, sender, receiver), []

    def _threads(self) -> int:
        few = len(self._arrays["other"]) < _FEW
        return 1 if few else min(torch.get_num_threads(), len(self._arrays["species"]))

    def _cut(self) -> None:
        """Atoms between which the work is cut into a part for each thread, by edges that they receive and send."""
        threads, edges_before = self._threads(), self._arrays["first"] + self._arrays["leaving_first"]
        targets = edges_before[-1] * torch.arange(1, threads) // threads
        inner = torch.searchsorted(edges_before[:-1].contiguous(), targets).tolist()
        self._cuts = [0, *inner, len(edges_before) - 1]

    def _go(self, num_steps: int) -> None:
        threads, is_double = len(self._cuts) - 1, self.dtype == torch.float64
        meeting, failed = (ctypes.c_int64 * 2)(), (ctypes.c_int64 * 1)()

        def work(begin: int, end: int) -> None:
            self._code.subduce_run(self._table, num_steps, is_double, meeting, begin, end, threads, failed)

        *others, own = pairwise(self._cuts)
        if others:
            with _together.lock:  # threads of one program wait for each other, so two programs must not share them
                waiting = [pool(len(others)).submit(work, *part) for part in others]
                work(*own)
                for other in waiting:
                    other.result()
        else:
            work(*own)
        if failed[0]:
            raise MemoryError("no memory to work in")


class _Together:
    """One program at a time runs with several threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def renew(self) -> None:
        self.lock = threading.Lock()


_together = _Together()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_together.renew)


def _check(species: Tensor, num_species: int, sender: Tensor, receiver: Tensor) -> None:
    """C trusts what it is given."""
    for name, index, rows in (("species", species, num_species), ("sender", sender, len(species))):
        check_rows(name, index, rows)
    check_rows("receiver", receiver, len(species))
    if sender.shape != receiver.shape or bool((receiver[1:] < receiver[:-1]).any()):
        raise ValueError("edges are sorted by receiver, with as many senders; got others")


def _check_block(block: Block, x: Rows, out: Rows, num_species: int | None) -> None:
    """C trusts what it is given."""
    *species, channels_in, channels_out = block.matrix.shape
    ends = (block.start_in + block.components * channels_in, block.start_out + block.components * channels_out)
    if ends[0] > x.width or ends[1] > out.width or species != ([] if num_species is None else [num_species]):
        raise ValueError(
            f"a linear map of {tuple(block.matrix.shape)} for {block.components} components, from place "
            f"{block.start_in} of {x.width} to place {block.start_out} of {out.width}, with {num_species or 'no'} "
            "species, reaches beyond them; its weights belong to another model"
        )


def _by_sender(sender: Tensor, atoms: int) -> tuple[Tensor, Tensor]:
    """Pairs in the order of their senders, and the first of each sender."""
    order = sender.argsort(stable=True)
    return order, torch.searchsorted(sender[order].contiguous(), torch.arange(atoms + 1))
