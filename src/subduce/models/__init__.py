"""Models: from a graph to energies, and every derivative around them."""

from ._checkpoint import load as load
from ._checkpoint import read_header as read_header
from ._checkpoint import save as save
from ._config import PotentialConfig as PotentialConfig
from ._derivatives import energies_only as energies_only
from ._derivatives import forces_and_stress as forces_and_stress
from ._derivatives import hessian_vector_product as hessian_vector_product
from ._device import resolve_device as resolve_device
from ._engine import Engine as Engine
from ._euclidean import EuclideanNetwork as EuclideanNetwork
from ._euclidean import EuclideanNetworkConfig as EuclideanNetworkConfig
from ._euclidean import Modulation as Modulation
from ._interface import EnergyModel as EnergyModel
from ._interface import Prediction as Prediction
from ._interface import check_elements as check_elements
from ._potential import Potential as Potential
from ._property import PropertyConfig as PropertyConfig
from ._property import PropertyModel as PropertyModel
from ._relaxed_cnn import RelaxedCNN as RelaxedCNN
from ._relaxed_cnn import RelaxedCNNConfig as RelaxedCNNConfig
from ._repulsion import ZBL as ZBL
from ._sum import Sum as Sum
from ._tabulated import tabulated as tabulated
from ._target import TargetConfig as TargetConfig
