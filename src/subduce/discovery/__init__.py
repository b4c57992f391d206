"""Which symmetries data break, by element and by irrep, with statistics that hold."""

from ._actions import Action as Action
from ._actions import action_on as action_on
from ._broken_symmetry import Investigation as Investigation
from ._broken_symmetry import discover as discover
from ._study import discover_symmetries as discover_symmetries
from ._words import methods as methods
from ._words import verdict as verdict
