"""Groups as values: tables, characters, real irreps, subgroups; and how O(3) subduces to them.

Plain arrays, float64. The principal axis is z, secondary axes and mirrors lie along x; see `point_group`.
"""

from ._actions import grid_action as grid_action
from ._actions import point_permutation as point_permutation
from ._finite import FiniteGroup as FiniteGroup
from ._finite import GroupIrrep as GroupIrrep
from ._named import cyclic as cyclic
from ._named import dihedral as dihedral
from ._named import named_group as named_group
from ._named import permutations as permutations
from ._named import point_group as point_group
from ._named import reflection as reflection
from ._named import time_reversal as time_reversal
from ._named import translations as translations
from ._representations import Isotropy as Isotropy
from ._representations import Reduction as Reduction
from ._representations import adapted_basis as adapted_basis
from ._representations import direction_symbol as direction_symbol
from ._representations import invariant_basis as invariant_basis
from ._representations import isotropy_of as isotropy_of
from ._representations import isotropy_of_points as isotropy_of_points
from ._representations import isotropy_subgroups as isotropy_subgroups
from ._representations import o3_matrices as o3_matrices
from ._representations import projector as projector
from ._representations import reduction as reduction
from ._representations import space_matrices as space_matrices
from ._representations import subduce as subduce
from ._representations import symmetric_power as symmetric_power
from ._sites import SiteSymmetry as SiteSymmetry
from ._subgroups import Subgroup as Subgroup
from ._subgroups import admissible_irreps as admissible_irreps
from ._subgroups import normal_subgroups as normal_subgroups
from ._subgroups import stabiliser as stabiliser
from ._subgroups import subgroup as subgroup
from ._subgroups import subgroup_classes as subgroup_classes
from ._subgroups import subgroups as subgroups
