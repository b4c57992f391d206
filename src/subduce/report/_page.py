"""The page: sections of records in one file, with nothing to fetch."""

from collections.abc import Iterable
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from .. import __version__
from ..records import Record, write_whole
from ._sections import section


def write_report(records: Iterable[Record], path: str | Path, *, title: str = "subduce report") -> None:
    """Write one self-contained HTML page of `records`, in their order.

    Training shows learning curves; evaluations parity plots and errors by target, species and
    `config_type`; dynamics energies and temperature over time; discovery the verdict, irreps and elements
    with intervals, and the methods; every record its settings and inputs.
    """
    environment = Environment(
        loader=PackageLoader("subduce", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("page.html")
    records = list(records)
    atomistic = any(record.kind != "discover" for record in records)
    sections = [section(record) for record in records]
    write_whole(path, page.render(title=title, sections=sections, atomistic=atomistic, version=__version__))
