"""The one operator that carries the cost, and the backends that compute it."""

from ._harmonics import harmonics as harmonics
from ._library import cpu_instructions as cpu_instructions
from ._library import reference_only as reference_only
from ._linear import LinearMap as LinearMap
from ._linear import Part as Part
from ._ops import EdgeProduct as EdgeProduct
from ._ops import available as available
from ._ops import bind as bind
from ._plan import Path as Path
from ._plan import ProductPlan as ProductPlan
from ._plan import channelwise_plan as channelwise_plan
from ._program import Block as Block
from ._program import Program as Program
from ._program import Rows as Rows
from ._rowwise import FUNCTIONS as FUNCTIONS
from ._rowwise import GateBlock as GateBlock
from ._rowwise import GateMap as GateMap
from ._rowwise import NormBlock as NormBlock
from ._rowwise import NormMap as NormMap
from ._table import SplineTable as SplineTable
from ._table import local_coefficients as local_coefficients
from ._table import spline_coefficients as spline_coefficients
