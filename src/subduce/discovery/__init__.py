"""Which symmetries data break, by element and by irrep, with statistics that hold."""

from ._actions import Action as Action
from ._actions import action_on as action_on
from ._broken_symmetry import Investigation as Investigation
from ._broken_symmetry import discover as discover
from ._continuous import discover_continuous as discover_continuous
from ._distribution import Distribution as Distribution
from ._distribution import distribution as distribution
from ._distribution import isotypic_fractions as isotypic_fractions
from ._learned_inputs import LearnConfig as LearnConfig
from ._learned_inputs import LearnedInputs as LearnedInputs
from ._learned_inputs import fit_network as fit_network
from ._learned_inputs import learn_order_parameter as learn_order_parameter
from ._missing_inputs import MissingGradient as MissingGradient
from ._missing_inputs import MissingInputs as MissingInputs
from ._missing_inputs import missing_gradient as missing_gradient
from ._missing_inputs import missing_inputs as missing_inputs
from ._missing_inputs import plateau as plateau
from ._network_order_parameter import NetworkOrderParameter as NetworkOrderParameter
from ._network_order_parameter import network_order_parameter as network_order_parameter
from ._places import scales as scales
from ._places import when as when
from ._places import where as where
from ._study import discover_symmetries as discover_symmetries
from ._turbulence import Anisotropy as Anisotropy
from ._turbulence import anisotropy as anisotropy
from ._words import verdict as verdict
