"""Equivariant layers: on irreps of O(3), and on functions of finite groups over grids."""

from ._activation import Activation as Activation
from ._convolution import Convolution as Convolution
from ._gate import Gate as Gate
from ._group_conv import GroupConvolution as GroupConvolution
from ._group_conv import GroupPooling as GroupPooling
from ._group_conv import GroupProjection as GroupProjection
from ._group_conv import LiftingConvolution as LiftingConvolution
from ._linear import Linear as Linear
from ._linear import Matrix as Matrix
from ._norm import EquivariantNorm as EquivariantNorm
from ._radial import MLP as MLP
from ._radial import BernsteinBasis as BernsteinBasis
from ._radial import BesselBasis as BesselBasis
from ._radial import GaussianBasis as GaussianBasis
from ._radial import Lengths as Lengths
from ._radial import OnKnots as OnKnots
from ._radial import RadialBasis as RadialBasis
from ._radial import Tabulated as Tabulated
from ._radial import polynomial_cutoff as polynomial_cutoff
from ._relaxed import RelaxedHarmonics as RelaxedHarmonics
from ._relaxed import equal_set as equal_set
from ._relaxed import spectrum as spectrum
from ._tensor_product import ChannelwiseTensorProduct as ChannelwiseTensorProduct
from ._tensor_product import FullyConnectedTensorProduct as FullyConnectedTensorProduct
from ._tensor_product import reachable as reachable
