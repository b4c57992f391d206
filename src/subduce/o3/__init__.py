"""O(3): irreps, rotations, spherical harmonics, and how they couple.

Conventions are e3nn's: degree 1 is (x, y, z), y is the polar axis, rotations are active.
"""

from ._harmonics import convention_matrix as convention_matrix
from ._harmonics import spherical_harmonics as spherical_harmonics
from ._irreps import Irrep as Irrep
from ._irreps import Irreps as Irreps
from ._irreps import MulIrrep as MulIrrep
from ._irreps import irrep_matrix as irrep_matrix
from ._rotation import axis_angle_to_matrix as axis_angle_to_matrix
from ._rotation import euler_to_matrix as euler_to_matrix
from ._rotation import matrix_to_axis_angle as matrix_to_axis_angle
from ._rotation import matrix_to_euler as matrix_to_euler
from ._rotation import random_rotations as random_rotations
from ._sphere import SphereGrid as SphereGrid
from ._tensors import CartesianTensor as CartesianTensor
from ._wigner import clebsch_gordan as clebsch_gordan
from ._wigner import wigner_d as wigner_d
