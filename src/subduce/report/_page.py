"""The page: sections of records in one file, with nothing to fetch."""

import gzip
import re
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from .. import __version__
from ..records import Record, write_whole
from ._sections import section


def write_report(records: Iterable[Record], path: str | Path, *, title: str = "subduce report") -> None:
    """Write one self-contained HTML page of `records`, in their order.

    Training shows learning curves; evaluations parity plots and errors by target, species and
    `config_type`; dynamics energies and temperature over time; discovery the verdict, irreps and elements
    with intervals, and the methods; order parameters the crystal to turn, its modes, domains and subgroups; every
    record its settings and inputs.
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
    atomistic = any(record.kind not in ("discover", "order-parameters") for record in records)
    sections = [section(record) for record in records]
    scripts = _scripts() if any(part.viewer for part in sections) else []
    given = {"title": title, "sections": sections, "scripts": scripts, "atomistic": atomistic, "version": __version__}
    write_whole(path, page.render(given))


def _scripts() -> list[str]:
    """The 3D library under its licence, and what drives it."""
    assets = files("subduce.report") / "assets"
    licence = (assets / "3Dmol-LICENSE.txt").read_text(encoding="utf-8")
    library = gzip.decompress((assets / "3Dmol-min.js.gz").read_bytes()).decode()
    library = re.sub(r"max\( (-?dotProduct), 0\.0 \)", r"(.4 + .6 * max(\1, 0.0))", library)  # else shadows are black
    return [f"/*!\n{licence}*/\n{library}", (assets / "viewer.js").read_text(encoding="utf-8")]
