"""Write one HTML page, with plots, from the records of any commands."""

import argparse
from pathlib import Path
from typing import Any

from ._common import refuse_to_overwrite, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument("records", nargs="+", type=Path, metavar="RECORD", help="JSON records, or folders with one")
    parser.add_argument(
        "--output", type=Path, default=Path("report.html"), metavar="FILE", help="the page (report.html)"
    )
    parser.add_argument("--title", default="subduce report", help="what stands at the top")
    parser.add_argument("--overwrite", action="store_true", help="write over a page that is there")


def run(options: argparse.Namespace) -> Any:
    """Read the records and write the page."""
    from ..records import Record, fingerprint
    from ..report import write_report

    page = options.output if options.output.suffix == ".html" else options.output / "report.html"
    refuse_to_overwrite(page, options.overwrite)
    paths = [path / "record.json" if path.is_dir() else path for path in options.records]
    write_report([_read(path) for path in paths], page, title=options.title)
    say(f"wrote {page}")
    inputs = {str(path): fingerprint(path) for path in paths}
    return Record("report", inputs, {"title": options.title}, {"page": str(page), "records": len(paths)}, 0.0)


def _read(path: Path) -> Any:
    from ..config import InputError
    from ..records import Record

    try:
        return Record.from_json(path.read_text(encoding="utf-8"), source=str(path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such record; expected JSON from --json, or a run's record.json") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file; expected a JSON record") from None
