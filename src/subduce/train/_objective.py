"""What is made small: weighted means of errors, over all that one step sees, whoever computed which part."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import huber_loss

from ..config import Config, InputError
from ..data import Batch
from ..evaluation import Answer, predicted, reference
from ..models import TargetConfig

Kind = Literal["mse", "mae", "huber"]
NAMES = ("per_atom_energy", "total_energy", "forces", "stress")
BINS = 119
"""One bin for each atomic number; a term that is not balanced between species uses bin 0 alone."""

_DEFAULT_WEIGHTS = {"per_atom_energy": 1.0, "forces": 1.0, "stress": 100.0}


class LossConfig(Config):
    """Weights of the terms and the shape of the error.

    A weight that is not given is chosen where the data have the label: 1 for the energy per atom
    (eV), 1 for force components (eV/Å), 100 for stress (eV/Å³: a square of 10 Å³ an atom, which
    makes it an energy per atom). A weight that is given asks for the label; 0 leaves a term out.
    """

    per_atom_energy: float | None = Field(None, ge=0)
    total_energy: float | None = Field(None, ge=0, description="in place of or beside the energy per atom")
    forces: float | None = Field(None, ge=0)
    stress: float | None = Field(None, ge=0)
    kind: Kind = Field("mse", description="mse, mae or huber: quadratic up to delta, linear beyond")
    delta: float = Field(0.05, gt=0, description="where huber turns linear, in the unit of each term; of its spread")
    balance_species: bool = Field(False, description="forces: the mean over elements of each one's mean")

    def asked(self) -> tuple[str, ...]:
        """The labels that were asked for by a weight."""
        return tuple(dict.fromkeys(_label(name) for name in NAMES if getattr(self, name)))

    def resolved(self, present: Collection[str]) -> "LossConfig":
        """Every weight as a number, for data that have the labels `present` (`energy`, `forces`, `stress`).

        Raises `InputError` where that leaves nothing to learn.
        """
        weights = {name: getattr(self, name) for name in NAMES}
        for name, weight in _DEFAULT_WEIGHTS.items():
            if weights[name] is None and _label(name) in present:
                weights[name] = 0.0 if name == "per_atom_energy" and weights["total_energy"] else weight
        weights = {name: weight or 0.0 for name, weight in weights.items()}
        if not any(weights.values()):
            raise InputError(
                f"loss: every weight is 0 for data with the labels {', '.join(present) or 'none'}; nothing to learn"
            )
        return self.replace(**weights)


@dataclass(frozen=True)
class Term:
    """One target in the loss: its weight, the shape of its error, and whether species count alike."""

    name: str
    weight: float
    kind: Kind = "mse"
    delta: float = 0.05
    balance_species: bool = False
    scale: float = 1.0  # the unit of differences: a target's spread, so that several count alike

    def error(self, difference: Tensor) -> Tensor:
        """The error of each component, from the difference between prediction and reference."""
        difference = difference / self.scale
        if self.kind == "mse":
            return difference.square()
        if self.kind == "mae":
            return difference.abs()
        return huber_loss(difference, torch.zeros_like(difference), reduction="none", delta=self.delta)


class Objective:
    """A loss as sums and counts, so that batches and processes add up to exactly the one large batch.

    `counts` needs labels alone, so it is known for a whole step before anything is predicted.
    The loss is Σ weight · mean over bins (sum / count); a term without labels contributes 0.
    A structure's weight multiplies its errors and not the count, so that it holds in batches of
    one structure too; with weight 0 the structure is left out.
    """

    def __init__(self, *terms: Term) -> None:
        if not terms:
            raise ValueError("an objective needs at least one term")
        self.terms = terms

    @classmethod
    def from_config(cls, config: LossConfig) -> "Objective":
        """The objective of a config whose weights are all numbers (see `LossConfig.resolved`)."""
        return cls(
            *(
                Term(name, weight, config.kind, config.delta, config.balance_species and name == "forces")
                for name in NAMES
                if (weight := getattr(config, name))
            )
        )

    @classmethod
    def of_targets(cls, config: LossConfig, targets: Mapping[str, TargetConfig]) -> "Objective":
        """The objective of property targets, each in units of its scale.

        Raises `InputError` where every weight is zero.
        """
        terms = [
            Term(name, target.weight, config.kind, config.delta, scale=target.scale or 1.0)
            for name, target in targets.items()
            if target.weight
        ]
        if not terms:
            raise InputError("targets: every weight is 0; nothing to learn")
        return cls(*terms)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the terms."""
        return tuple(term.name for term in self.terms)

    def counts(self, batch: Batch) -> Float[Tensor, "terms bins"]:
        """How many labelled components each term has, by bin."""
        return torch.stack([_binned(term, _known(term, batch)[1], batch) for term in self.terms])

    def sums(self, prediction: Answer, batch: Batch) -> Float[Tensor, "terms bins"]:
        """Weighted sums of errors, by term and bin."""
        return torch.stack([_binned(term, self._errors(term, prediction, batch), batch) for term in self.terms])

    def means(self, sums: Float[Tensor, "terms bins"], counts: Float[Tensor, "terms bins"]) -> Float[Tensor, " terms"]:
        """The mean error of each term, without its weight; 0 where there is no label."""
        filled = counts > 0
        means = torch.where(filled, sums / counts.clamp(min=1), 0.0)
        return means.sum(-1) / filled.sum(-1).clamp(min=1)

    def value(self, sums: Float[Tensor, "terms bins"], counts: Float[Tensor, "terms bins"]) -> Float[Tensor, ""]:
        """The loss. It is linear in `sums`: parts with the counts of the whole add up to the whole."""
        return (self.means(sums, counts) * sums.new_tensor([term.weight for term in self.terms])).sum()

    def _errors(self, term: Term, prediction: Answer, batch: Batch) -> Tensor:
        """Weighted errors of each component, one row a structure, or an atom for forces."""
        labels, known, weight = _known(term, batch)
        values = predicted(term.name, prediction, batch)
        if values is None:  # not asked for, since no structure of this batch has the label
            return torch.zeros_like(labels)
        # What is left out must be cut before its error is taken: 0 times an infinite slope is no number.
        return term.error(torch.where(known, values - labels, 0.0)) * weight


def _label(name: str) -> str:
    return "energy" if name.endswith("energy") else name


def _known(term: Term, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """The labels of a term, which of them count, and their weights."""
    labels, known = reference(term.name, batch)
    known_as = term.name if term.name in NAMES else "properties"
    weight = getattr(batch.labels, f"{_label(known_as)}_weight")
    weight = weight if len(labels) == len(weight) else weight[batch.graph.structure]  # rows are atoms
    weight = weight.reshape(-1, *(1,) * (known.dim() - 1))
    return labels, known & (weight > 0), weight


def _binned(term: Term, values: Tensor, batch: Batch) -> Float[Tensor, " bins"]:
    """Sums over components, and over the rows of each bin."""
    rows = values.reshape(len(values), -1).sum(-1, dtype=torch.float64)
    place = batch.graph.atomic_numbers if term.balance_species else torch.zeros_like(rows, dtype=torch.int64)
    return rows.new_zeros(BINS).index_add(0, place, rows)
