"""Crystals: space groups, ideal parents, and the map from a parent structure to a child."""

from ._irreps import CrystalIrrep as CrystalIrrep
from ._irreps import commensurate_wave_vectors as commensurate_wave_vectors
from ._irreps import irreps_at as irreps_at
from ._irreps import star as star
from ._irreps import stars as stars
from ._match import Match as Match
from ._match import match as match
from ._space_group import Crystal as Crystal
from ._space_group import SpaceGroup as SpaceGroup
from ._space_group import ToleranceScan as ToleranceScan
from ._space_group import crystal as crystal
from ._space_group import identify as identify
from ._space_group import scan_tolerances as scan_tolerances
