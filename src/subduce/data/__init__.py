"""Structures, their graphs, and sets of them larger than memory."""

from ._graph import Batch as Batch
from ._graph import Graph as Graph
from ._graph import Labels as Labels
