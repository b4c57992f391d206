"""Learning the order parameter: weights and missing inputs together, with a penalty that keeps whole irreps at zero."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import mse_loss

from ..config import Config
from ..data import Graph
from ..models import EuclideanNetwork
from ._missing_inputs import Loss, MissingGradient, MissingInputs, missing_gradient, plateau


class LearnConfig(Config):
    """Settings of `learn_order_parameter`."""

    penalties: tuple[float, ...] = Field(
        default=(0.5, 0.2, 0.05, 0.01, 0.0),
        description="the path, each in units of the least penalty at which nothing enters",
    )
    symmetric_steps: int = Field(default=100, ge=0, description="of L-BFGS on the weights before any input is free")
    weight_steps: int = Field(default=60, ge=1, description="of L-BFGS on weights and active inputs, for each penalty")
    input_steps: int = Field(default=10, ge=1, description="proximal steps on the inputs, for each penalty")
    ridge: float = Field(default=1e-3, ge=0, description="on changes of the weights, which else hide the penalty")
    slack: float = Field(
        default=0.01, ge=0, description="what a sparser point of the path may lack, in units of the plateau"
    )


@dataclass(frozen=True)
class PathPoint:
    """One penalty: the loss in units of the plateau, and the length of each block."""

    penalty: float
    loss: float
    blocks: dict[str, float]


@dataclass(frozen=True, eq=False)
class LearnedInputs:
    """An order parameter that a network learned, at the sparsest point of the path that fits as well as the best."""

    amplitudes: Float[np.ndarray, "places dim"]
    target: Float[np.ndarray, "sites dim_out"]
    output: Float[np.ndarray, "sites dim_out"]
    loss: float
    symmetric_loss: float  # of the network before any input was free
    gradient: MissingGradient  # there, by the inputs at zero: the score, with nothing symmetric left to learn
    plateau: float  # the least that it could be, from the mean of the target's images
    path: tuple[PathPoint, ...]
    chosen: int  # which point of the path


def fit_network(
    network: EuclideanNetwork,
    graph: Graph,
    target: Float[np.ndarray, "sites dim_out"],
    *,
    order: Float[np.ndarray, "sites dim_order"] | None = None,
    steps: int = 100,
    loss: Loss = mse_loss,
) -> float:
    """Train the weights on one target with an order parameter that stays as it is, or none; the loss at the end."""
    wanted, fixed = torch.from_numpy(target), None if order is None else torch.from_numpy(order)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    scale = float(wanted.square().mean()) or 1.0  # the optimiser's tolerances are absolute
    _descend(weights, lambda: loss(network(graph, fixed), wanted) / scale, steps)
    with torch.no_grad():
        return float(loss(network(graph, fixed), wanted))


def learn_order_parameter(
    network: EuclideanNetwork,
    graph: Graph,
    target: Float[np.ndarray, "sites dim_out"],
    missing: MissingInputs,
    config: LearnConfig | None = None,
    *,
    loss: Loss = mse_loss,
) -> LearnedInputs:
    """Train a network and its missing inputs, from zero, on one target; the network is left as it was chosen.

    Inputs move along what may break the symmetry to the target's and nowhere else, so that whatever theory forbids
    stays exactly zero. The penalty is that of a group lasso: the length of each block times √d (1 + l), which no
    rotation changes; it is lowered along a path. Raises `ValueError` where these inputs cannot break the symmetry.
    """
    config = config or LearnConfig()
    if not any(missing.dimensions().values()):
        raise ValueError(
            "no input may break the symmetry to the target's: nothing is broken, or irreps of higher degree or the "
            f"other parity are needed than {missing.irreps}"
        )
    least = plateau(missing.symmetry, target, network.config.output, loss=loss)
    symmetric = fit_network(network, graph, target, steps=config.symmetric_steps, loss=loss)
    gradient = missing_gradient(network, graph, target, missing, loss=loss)
    fit = _Fit(network, graph, target, missing, loss, least)
    unit = fit.entry()
    path, states = [], []
    for penalty in config.penalties:
        _proximal(fit, penalty * unit, config.input_steps)
        whole = partial(fit.whole, penalty * unit, config.ridge if penalty else 0.0, fit.active())
        _descend([*fit.weights, fit.free], whole, config.weight_steps)
        _proximal(fit, penalty * unit, config.input_steps)
        path.append(PathPoint(penalty, float(fit.plain().detach()), fit.lengths()))
        states.append((fit.free.detach().clone(), [weight.detach().clone() for weight in fit.weights]))
    best = min(point.loss for point in path)
    chosen = next(place for place, point in enumerate(path) if point.loss <= best + config.slack)
    fit.restore(*states[chosen])
    with torch.no_grad():
        amplitudes = fit.amplitudes(fit.free)
        output = network(graph, fit.spread @ amplitudes).numpy()
    there = path[chosen].loss * least
    return LearnedInputs(amplitudes.numpy(), target, output, there, symmetric, gradient, least, tuple(path), chosen)


class _Fit:
    """The objective: losses in units of the plateau, of weights and of the free amplitudes of every block."""

    def __init__(
        self,
        network: EuclideanNetwork,
        graph: Graph,
        target: np.ndarray,
        missing: MissingInputs,
        loss: Loss,
        least: float,
    ) -> None:
        self._network, self._graph, self._loss, self._least = network, graph, loss, least
        self._target = torch.from_numpy(target)
        self.spread, self._shape = torch.from_numpy(missing.modulation.matrix), missing.shape
        self.weights = [weight for weight in network.parameters() if weight.requires_grad]
        self.start = [weight.detach().clone() for weight in self.weights]
        self._blocks = [block for block in missing.blocks if block.basis.shape[1]]
        self._sizes = [block.basis.shape[1] for block in self._blocks]
        basis = np.zeros((int(np.prod(missing.shape)), sum(self._sizes)))
        for block, end in zip(self._blocks, np.cumsum(self._sizes), strict=True):
            basis[block.where, end - block.basis.shape[1] : end] = block.basis
        self._basis = torch.from_numpy(basis)
        self.costs = [(2 * block.degree + 1) ** 0.5 * (1 + block.degree) for block in self._blocks]
        self.free = torch.zeros(sum(self._sizes), dtype=torch.float64, requires_grad=True)

    def amplitudes(self, free: Tensor) -> Tensor:
        return (self._basis @ free).reshape(self._shape)

    def plain(self, free: Tensor | None = None) -> Tensor:
        """The loss alone."""
        order = self.spread @ self.amplitudes(self.free.detach() if free is None else free)
        return self._loss(self._network(self._graph, order), self._target) / self._least

    def whole(self, penalty: float, ridge: float, active: Tensor) -> Tensor:
        """The loss with penalties, where only active blocks move."""
        free = self.free * active
        strays = [(weight - start).square().sum() for weight, start in zip(self.weights, self.start, strict=True)]
        lengths = [cost * part.norm() for cost, part in zip(self.costs, self.split(free), strict=True)]
        return self.plain(free) + penalty * torch.stack(lengths).sum() + ridge * torch.stack(strays).sum()

    def split(self, free: Tensor) -> tuple[Tensor, ...]:
        return free.split(self._sizes)

    def slope(self) -> tuple[float, Tensor]:
        """The loss and its gradient by the free amplitudes."""
        value = self.plain(self.free)
        return float(value.detach()), torch.autograd.grad(value, self.free)[0]

    def entry(self) -> float:
        """The least penalty at which no block enters."""
        return max(
            float(part.norm()) / cost for part, cost in zip(self.split(self.slope()[1]), self.costs, strict=True)
        )

    def active(self) -> Tensor:
        """One for every amplitude of a block that is not zero."""
        return torch.cat([torch.full_like(part, float(part.any())) for part in self.split(self.free.detach())])

    def lengths(self) -> dict[str, float]:
        parts = self.split(self.free.detach())
        return {block.name: float(part.norm()) for block, part in zip(self._blocks, parts, strict=True)}

    def restore(self, free: Tensor, weights: Sequence[Tensor]) -> None:
        with torch.no_grad():
            self.free.copy_(free)
            for weight, kept in zip(self.weights, weights, strict=True):
                weight.copy_(kept)


def _proximal(fit: _Fit, penalty: float, steps: int) -> None:
    """Gradient steps on the amplitudes, each followed by shortening every block; lengths by backtracking."""
    step = 1.0
    for _ in range(steps):
        value, slope = fit.slope()
        old = fit.free.detach().clone()
        for _ in range(40):
            parts = fit.split(old - step * slope)
            new = torch.cat([_shorter(p, step * penalty * c) for p, c in zip(parts, fit.costs, strict=True)])
            change = new - old
            with torch.no_grad():
                later = float(fit.plain(new))
            if later <= value + float(slope @ change + change @ change / (2 * step)):
                break
            step /= 2
        else:
            return
        with torch.no_grad():
            fit.free.copy_(new)
        if not change.any():
            return
        step *= 2


def _shorter(part: Tensor, by: float) -> Tensor:
    """A vector made shorter; zero where nothing is left."""
    length = float(part.norm())
    return part * max(1 - by / length, 0.0) if length else part


def _descend(variables: Sequence[Tensor], objective: Callable[[], Tensor], steps: int) -> None:
    """L-BFGS with a strong Wolfe line search, undone where it ended higher than it began, or nowhere."""
    if not steps:
        return
    before, start = float(objective().detach()), [variable.detach().clone() for variable in variables]
    optimiser = torch.optim.LBFGS(
        variables, max_iter=steps, tolerance_grad=1e-14, tolerance_change=1e-16, history_size=50,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = objective()
        value.backward()
        return value

    optimiser.step(closure)
    if not float(objective().detach()) <= before:
        with torch.no_grad():
            for variable, value in zip(variables, start, strict=True):
                variable.copy_(value)
