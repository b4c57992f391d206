"""Laws as assertions, and checks of the kernels on this machine.

For the tests of this library and of anything built on it. Each raises `AssertionError` with the largest error and
where it is.
"""

from ._backend import BackendCheck as BackendCheck
from ._backend import check_backend as check_backend
from ._laws import TOLERANCE as TOLERANCE
from ._laws import assert_conservative as assert_conservative
from ._laws import assert_equivariant as assert_equivariant
from ._laws import assert_smooth as assert_smooth
from ._product import check_product as check_product
