"""Names of array axes, and the shape aliases built on them.

Axes are named by what is counted along them. One name means one count within a call:

- `atoms`, `edges`, `structures`: rows of a batch of structures;
- `nodes`: rows of features, whatever they stand for (atoms, in a potential);
- `dim`: components of irreps, `[2l+1, channels]` one irrep after the other (see `subduce.o3.Irreps`);
- `channels`: copies of one irrep;
- `paths`: couplings of a tensor product.
"""

from jaxtyping import Bool, Float, Int
from torch import Tensor

Positions = Float[Tensor, "atoms 3"]
"""Cartesian positions, Å."""

Cells = Float[Tensor, "structures 3 3"]
"""Lattice vectors as rows (ASE), Å; zero rows where a structure is not periodic."""

Periodic = Bool[Tensor, "structures 3"]
"""Along which lattice vectors a structure repeats."""

AtomIndex = Int[Tensor, " edges"]
"""For each edge, a row among the atoms of the batch."""

Shifts = Float[Tensor, "edges 3"]
"""Whole numbers of lattice vectors that pick the periodic image of the sender."""

EdgeVectors = Float[Tensor, "edges 3"]
"""From receiver to sender: positions[sender] + shifts @ cell − positions[receiver], Å."""

AtomEnergies = Float[Tensor, " atoms"]
"""Energy of each atom, eV."""
