"""`TargetConfig`: what kind of quantity a property is, which says all that symmetry and size allow of it."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from ..config import Config
from ..data import Property, unit_factor
from ..o3 import CartesianTensor, Irreps

CHARGE_LENGTH = "e*Å"
"""The unit of a dipole that is made of charges and positions."""


class TargetConfig(Config):
    """A property of any irreps, of the structure or of each atom.

    A property of the structure is pooled from its atoms: `sum` for what doubles with the system (extensive), `mean`
    or `attention`, a mean whose weights are learnt, for what does not. `0e+2e` is a symmetric 3 × 3 matrix; other
    Cartesian tensors are given by their index symmetry, such as `ijkl=jikl=klij`.

    >>> TargetConfig(irreps="0e+2e").shape, TargetConfig(irreps="1o", norm=True).shape
    ((3, 3), ())
    """

    irreps: str = Field("0e", description="irreps of the quantity, such as 1o or 0e+2e")
    per: Literal["structure", "atom"] = Field("structure", description="who has one")
    pool: Literal["sum", "mean", "attention"] = Field("sum", description="how a structure's is made of its atoms'")
    norm: bool = Field(False, description="the length of what the irreps say, as a dipole moment in debye")
    charges: bool = Field(False, description="a dipole: latent charges times positions beside the dipoles of atoms")
    symmetry: str | None = Field(None, description="index symmetry of a Cartesian tensor; fixes the irreps")
    unit: str = Field("", description="unit to predict in; that of the file")
    file_unit: str = Field("", description="unit in the files, where their format does not fix it")
    keys: tuple[str, ...] = Field((), description="names in the files; the name of the target")
    weight: float = Field(1.0, ge=0, description="in the loss, whose errors are in units of the scale")
    shifts: dict[str, tuple[float, ...]] | None = Field(
        None, description="for each element what one atom adds to the 0e components; least squares"
    )
    scale: float | None = Field(None, gt=0, description="root mean square of what the shifts leave of the labels")

    @model_validator(mode="before")
    @classmethod
    def _vectors_and_tensors_have_irreps(cls, given: dict) -> dict:
        given = dict(given)
        if (given.get("norm") or given.get("charges")) and not {"irreps", "symmetry"} & set(given):
            given["irreps"] = "1o"
        if given.get("symmetry") is None and "irreps" in given and Irreps(given["irreps"]) == Irreps("0e+2e"):
            given["symmetry"] = "ij=ji"
        if given.get("symmetry") is not None:
            fixed = str(CartesianTensor(given["symmetry"]).irreps)
            if Irreps(given.get("irreps", fixed)) != Irreps(fixed):
                raise ValueError(
                    f"irreps {given['irreps']} are not those of {given['symmetry']}, {fixed}; leave them out"
                )
            given["irreps"] = fixed
        return given

    @field_validator("irreps")
    @classmethod
    def _are_irreps(cls, given: str) -> str:
        irreps = Irreps(given)
        if not irreps.dim:
            raise ValueError("a target needs one component at least, such as 0e")
        return str(irreps)

    @model_validator(mode="after")
    def _fits_together(self) -> "TargetConfig":
        if self.norm and (self.symmetry or self.parts.num_irreps != 1):
            raise ValueError(f"norm: a length is that of one irrep, such as 1o, not of {self.irreps}")
        if self.charges and (self.irreps, self.per, self.pool) != ("1x1o", "structure", "sum"):
            raise ValueError("charges: a dipole has irreps 1o, per structure, pool sum")
        if self.charges:
            unit_factor(CHARGE_LENGTH, self.unit or CHARGE_LENGTH)
        return self

    @property
    def parts(self) -> Irreps:
        """The irreps of the value of one atom."""
        return Irreps(self.irreps)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one value, as files and predictions have it."""
        if self.symmetry:
            return (3,) * CartesianTensor(self.symmetry).rank
        return () if self.norm or self.parts.dim == 1 else (self.parts.dim,)

    @property
    def rows_of_atoms(self) -> bool:
        """Whether each atom has a value."""
        return self.per == "atom"

    def label(self, name: str) -> Property:
        """How the labels of a target of this name are found in files."""
        return Property(name, self.shape, self.per, self.unit, self.file_unit, self.keys)
