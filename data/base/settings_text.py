"""Settings as programs save and people write them: a byte order mark, UTF-16, $VARIABLES. Standard library only."""

from __future__ import annotations

import os
import re
from pathlib import Path

from data.base.errors import DataError
from data.base.text_heads import byte_order_mark

_VARIABLE = re.compile(r"\$(\w+|\{[^}]*\})")


def decode(path: Path, content: bytes) -> str:
    r"""A settings file's text, with lines that end in \n. DataError names the first line that can't be read."""
    begin, encoding = byte_order_mark(content)
    try:
        text = content[begin:].decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(_undecodable(path, content[begin:], error)) from None
    if (zero := text.find("\0")) >= 0:
        line = text.count("\n", 0, zero) + 1
        raise DataError(f"{path}, line {line}: has a zero byte, as no text has; save the file as UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _undecodable(path: Path, content: bytes, error: UnicodeDecodeError) -> str:
    line = content.count(b"\n", 0, error.start) + 1
    shown = content.split(b"\n")[line - 1].decode("ascii", "backslashreplace").strip()[:60]
    return f"{path}, line {line}: `{shown}` is not UTF-8 text; save the file as UTF-8"


def expanded(text: str) -> str:
    """A path with its $VARIABLES and ~. DataError where the environment has no such variable."""
    whole = os.path.expandvars(os.path.expanduser(text))
    for name in _VARIABLE.findall(text):
        if name.strip("{}") not in os.environ:
            raise DataError(
                f"the environment has no variable {name.strip('{}')}; set it, or write the path out"
            )
    return os.fsdecode(
        whole.encode(errors="surrogateescape")
    )  # in the form of names, where the locale is not UTF-8
