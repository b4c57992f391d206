"""Training: from labelled structures to a potential."""

from ._config import TrainConfig as TrainConfig
from ._data import DataConfig as DataConfig
from ._fit import FitResult as FitResult
from ._fit import fit as fit
from ._interruption import Interrupted as Interrupted
from ._interruption import NonFiniteLoss as NonFiniteLoss
from ._loaders import Loader as Loader
from ._loaders import Loaders as Loaders
from ._objective import LossConfig as LossConfig
from ._objective import Objective as Objective
from ._objective import Term as Term
from ._run import RunConfig as RunConfig
from ._run import read_run as read_run
from ._run import train as train
