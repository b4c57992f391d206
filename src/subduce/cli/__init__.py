"""The command `subduce VERB …`: arguments in, one library call, one record out."""

from ._main import main as main
