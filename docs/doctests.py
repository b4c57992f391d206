"""Doctests of docstrings as blocks of code: an extension for the reader of docstrings."""

import re
from typing import Any

from griffe import Extension, Object

_BLOCK = re.compile(r"^>>> .*?(?=\n\n|\Z)", flags=re.MULTILINE | re.DOTALL)


class Doctests(Extension):
    """Fences every run of `>>>` lines and what they print."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Change the docstring of what was just read."""
        if obj.docstring:
            obj.docstring.value = _BLOCK.sub(lambda block: f"```pycon\n{block[0]}\n```", obj.docstring.value)
