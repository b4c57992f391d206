"""Workflows over ASE with a trained potential: relaxation and molecular dynamics."""

from ._md import MDConfig as MDConfig
from ._md import md as md
from ._relax import RelaxConfig as RelaxConfig
from ._relax import relax as relax
from ._trajectory import write_structure as write_structure
