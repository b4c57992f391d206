"""One self-contained HTML page from result records: it reads records, never models, and opens offline."""

from ._page import write_report as write_report
from ._speed import speed_line as speed_line
from ._speed import speed_table as speed_table
