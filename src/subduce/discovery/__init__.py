"""Which symmetries data break, by element and by irrep, with statistics that hold."""

from ._actions import Action as Action
from ._actions import action_on as action_on
from ._broken_symmetry import Investigation as Investigation
from ._broken_symmetry import discover as discover
from ._continuous import discover_continuous as discover_continuous
from ._distribution import Distribution as Distribution
from ._distribution import distribution as distribution
from ._distribution import isotypic_fractions as isotypic_fractions
from ._instabilities import instabilities as instabilities
from ._objective import group_space as group_space
from ._objective import site_space as site_space
from ._order_parameter import order_parameters as order_parameters
from ._places import scales as scales
from ._places import when as when
from ._places import where as where
from ._study import discover_symmetries as discover_symmetries
from ._turbulence import Anisotropy as Anisotropy
from ._turbulence import anisotropy as anisotropy
from ._words import verdict as verdict
