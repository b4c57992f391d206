"""Crystals: space groups, ideal parents, and the map from a parent structure to a child."""

from ._space_group import Crystal as Crystal
from ._space_group import SpaceGroup as SpaceGroup
from ._space_group import ToleranceScan as ToleranceScan
from ._space_group import crystal as crystal
from ._space_group import identify as identify
from ._space_group import scan_tolerances as scan_tolerances
