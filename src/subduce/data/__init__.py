"""Structures, their graphs, fields on grids, and sets of them larger than memory."""

from ._check import check as check
from ._clouds import open_clouds as open_clouds
from ._dataset import GraphDataset as GraphDataset
from ._dataset import graph_from_structure as graph_from_structure
from ._fields import Pairs as Pairs
from ._fields import open_pairs as open_pairs
from ._graph import Batch as Batch
from ._graph import Graph as Graph
from ._graph import Labels as Labels
from ._neighbors import SkinList as SkinList
from ._neighbors import neighbor_list as neighbor_list
from ._one_structure import read_frames as read_frames
from ._one_structure import read_structure as read_structure
from ._properties import Property as Property
from ._readers import Structures as Structures
from ._readers import open_structures as open_structures
from ._sampler import EdgeBudgetSampler as EdgeBudgetSampler
from ._split import leakage as leakage
from ._split import split as split
from ._statistics import Statistics as Statistics
from ._statistics import statistics as statistics
from ._structures import LabelKeys as LabelKeys
from ._structures import Structure as Structure
from ._structures import atoms_from_structure as atoms_from_structure
from ._structures import structure_from_atoms as structure_from_atoms
from ._units import unit_factor as unit_factor
