"""One potential, many programs: each file here puts it behind the interface another program expects."""

from ._predict import predict as predict
