"""Speed on this machine: our backends, and other programs that are installed, measured in turn."""

from ._bench import bench as bench
from ._bench import case_names as case_names
from ._cases import NETWORK as NETWORK
from ._cases import water as water
from ._measure import Program as Program
from ._measure import Sample as Sample
from ._measure import alternately as alternately
from ._measure import commit as commit
from ._measure import machine as machine
from ._serve import peak_mb as peak_mb
