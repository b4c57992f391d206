"""Results as frozen records: JSON in and out, the only thing that reports and plots read."""

import dataclasses
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

from .config import InputError

VERSION = 1


@dataclass(frozen=True)
class Record:
    """What one command or benchmark found, with what it was given.

    `inputs` maps each input file to its sha256; `settings` is the full set of options;
    `results` holds what `kind` promises, by name (of `bench`, a list of rows); `seconds` is the wall time.
    """

    kind: str
    inputs: Mapping[str, str]
    settings: Mapping[str, Any]
    results: Any
    seconds: float
    version: int = field(default=VERSION)

    def to_json(self) -> str:
        """One JSON object; numbers that are not finite become null."""
        return json.dumps(_plain(dataclasses.asdict(self)), indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, *, source: str = "record") -> Self:
        """The record in a JSON text; raises `InputError` naming `source` where it is none."""
        try:
            found = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{source}, line {error.lineno}: not JSON ({error.msg})") from None
        wanted = {f.name for f in dataclasses.fields(cls)}
        if not isinstance(found, dict) or not wanted <= found.keys():
            raise InputError(f"{source}: not a result record; expected the keys {', '.join(sorted(wanted))}")
        if found["version"] > VERSION:
            raise InputError(
                f"{source}: written by a newer version (record {found['version']}, this reads up to {VERSION}); "
                "update subduce"
            )
        return cls(**{name: found[name] for name in wanted})


def fingerprint(path: str | Path) -> str:
    """The sha256 of a file, or of a folder's file names and sizes."""
    path, digest = Path(path), hashlib.sha256()
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            digest.update(f"{file.relative_to(path)}:{file.stat().st_size}\n".encode())
        return digest.hexdigest()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_whole(path: str | Path, content: str | bytes) -> None:
    """Write a file so that a reader finds the old one or the whole new one, never a part."""
    with appearing_whole(path) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def appearing_whole(path: str | Path) -> Iterator[IO[bytes]]:
    """A stream to a file that takes its name when everything is written and on disk.

    An interruption or a full disk leaves what stood there before as it was.
    """
    path, name = Path(path), None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, path)
    except BaseException as error:
        if name is not None:
            Path(name).unlink(missing_ok=True)
        ours = (None, name, str(path.parent))
        if isinstance(error, OSError) and (error.filename in ours or f".{path.name}." in str(error.filename)):
            raise OSError(error.errno, error.strerror, str(path)) from None  # the file's name, not that of its draft
        raise


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
