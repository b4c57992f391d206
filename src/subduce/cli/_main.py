"""One way in for every verb: its options, its record, and how it ends (0, 2, 3 or 130)."""

import argparse
import difflib
import errno
import importlib
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from .. import __version__
from ._common import first_process, say

VERBS = {
    "demo": "train a small potential on data that ships inside, end to end, in minutes",
    "check": "what is wrong with a data set, before anyone trains on it",
    "train": "train a potential; a data file alone is enough",
    "evaluate": "errors of a model on a data set, by target and by species",
    "predict": "write a model's predictions beside the structures",
    "relax": "relax a structure, with its cell if asked",
    "md": "molecular dynamics: NVE, Langevin, Nosé-Hoover, NPT",
    "discover": "which symmetries data break: irreps, elements, the subgroup they keep, how sure",
    "order-parameters": "which irreps break one structure into another: k, label, direction, amplitude",
    "bench": "speed on this machine, beside other programs that are installed",
    "info": "what is in a model, a data set or a record; without a file, this machine",
    "reproduce": "an experiment of the papers: claim, our number, verdict",
    "report": "one HTML page from one or more records",
}
DONE, BAD_INPUT, FAILED, INTERRUPTED = 0, 2, 3, 130
_REFUSED_WRITES = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> Any:
        """Say what is wrong and where help is, then end with 2."""
        say(f"{self.prog}: {message}; see {self.prog} --help")
        raise SystemExit(BAD_INPUT)


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 2 bad input, 3 failed, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview(), file=sys.stdout if arguments else sys.stderr)
        return DONE if arguments else BAD_INPUT
    verb = arguments[0]
    if verb in ("-V", "--version"):
        print(f"subduce {__version__}")
        return DONE
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(VERBS)}"
        say(f"subduce: no verb {verb!r}; {hint}")
        return BAD_INPUT
    module = importlib.import_module("." + verb.replace("-", "_"), __package__)
    try:
        options = _parser(verb, module).parse_intermixed_args(arguments[1:])
    except SystemExit as stop:
        return int(stop.code or DONE)
    return _run(verb, module, options)


def _overview() -> str:
    width = max(map(len, VERBS)) + 2
    verbs = "\n".join(f"  {verb:<{width}}{summary}" for verb, summary in VERBS.items())
    return (
        "usage: subduce VERB …\n\nLearn physical systems with their symmetry.\n\n"
        f"{verbs}\n\nsubduce VERB --help says what a verb takes; subduce --version says which version this is."
    )


def _parser(verb: str, module: ModuleType) -> Parser:
    parser = Parser(prog=f"subduce {verb}", description=module.__doc__, allow_abbrev=False)
    module.add_arguments(parser)
    common = parser.add_argument_group("common options")
    common.add_argument("--json", action="store_true", help="print exactly one JSON record to stdout")
    common.add_argument("--threads", type=_positive, metavar="N", help="CPU threads to use")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 up, got {text!r}")
    return int(text)


def _run(verb: str, module: ModuleType, options: argparse.Namespace) -> int:
    try:
        with _terminable(), _plain_warnings(options.debug):
            _limit_threads(options.threads)
            record = module.run(options)
    except KeyboardInterrupt as stop:
        say(f"subduce {verb}: interrupted{_detail(stop) or _kept(options)}")
        return INTERRUPTED
    except Exception as error:
        if options.debug:
            traceback.print_exc()
        return _explain(verb, error, options)
    if options.json and first_process():
        print(record.to_json(), flush=True)
    stopped = record.results.get("stopped") if isinstance(record.results, Mapping) else None
    if stopped:
        say(f"subduce {verb}: stopped: {stopped}{_kept(options)}")
    return FAILED if stopped else DONE


def _explain(verb: str, error: Exception, options: argparse.Namespace) -> int:
    from ..config import InputError

    message = " ".join(str(error).split())
    if isinstance(error, InputError):
        say(f"subduce {verb}: {message}")
        return BAD_INPUT
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        refused = "cannot be written, " if error.errno in _REFUSED_WRITES else ""
        say(f"subduce {verb}: {place}{refused}{error.strerror.lower()}{_kept(options)}")
        return BAD_INPUT
    if "No space left" in message:  # some libraries wrap the system's error in their own
        say(f"subduce {verb}: cannot be written, no space left on the disk{_kept(options)}")
        return BAD_INPUT
    hint = "; try a smaller batch" if "out of memory" in message.lower() else ""
    say(f"subduce {verb}: failed: {type(error).__name__}: {message}{hint}{_kept(options)}; --debug tells where")
    return FAILED


def _kept(options: argparse.Namespace) -> str:
    """Where what was done so far lies, for the end of a message."""
    output = getattr(options, "output", None) or getattr(options, "trajectory", None)
    return f"; what was done is in {output}" if output and Path(output).exists() else ""


def _detail(stop: BaseException) -> str:
    return f": {' '.join(str(stop).split())}" if str(stop) else ""


def _limit_threads(threads: int | None) -> None:
    if threads is None:
        return
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    if "torch" in sys.modules:  # otherwise it reads the environment when it is imported
        sys.modules["torch"].set_num_threads(threads)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends a command as Ctrl-C does, so that whatever saves its state on one does on the other."""
    try:
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _plain_warnings(debug: bool) -> Iterator[None]:
    """Warnings as one line each, without the place in the code; those meant for programmers only when debugging."""
    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        if not debug:
            for category in (DeprecationWarning, FutureWarning):
                warnings.simplefilter("ignore", category)
            warnings.showwarning = lambda message, *_, **__: say(f"warning: {' '.join(str(message).split())}")
        yield
