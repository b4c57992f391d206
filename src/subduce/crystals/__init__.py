"""Crystals: space groups, their irreps with labels, and distortions as fields in a periodic parent."""

from ._irreps import CrystalIrrep as CrystalIrrep
from ._irreps import commensurate_wave_vectors as commensurate_wave_vectors
from ._irreps import irreps_at as irreps_at
from ._irreps import star as star
from ._irreps import stars as stars
from ._match import Match as Match
from ._match import match as match
from ._modes import Coupling as Coupling
from ._modes import Kind as Kind
from ._modes import Mode as Mode
from ._modes import coupling as coupling
from ._modes import decompose as decompose
from ._modes import field_images as field_images
from ._modes import intertwiners as intertwiners
from ._modes import strain_modes as strain_modes
from ._origins import equivalent_origins as equivalent_origins
from ._periodic import PeriodicCrystal as PeriodicCrystal
from ._space_group import TOLERANCE as TOLERANCE
from ._space_group import Crystal as Crystal
from ._space_group import SpaceGroup as SpaceGroup
from ._space_group import ToleranceScan as ToleranceScan
from ._space_group import crystal as crystal
from ._space_group import identify as identify
from ._space_group import scan_tolerances as scan_tolerances
