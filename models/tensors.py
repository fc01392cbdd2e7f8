"""Tensors to a .safetensors file, so that a full disk is an OSError like any other."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor


def write_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write contiguous CPU tensors. OSError where the system refuses: safetensors only has it in its message."""
    try:
        save_file(tensors, path)
    except SafetensorError as error:
        match = re.search(r"os error (\d+)", str(error))
        number = int(match[1]) if match else errno.EIO
        raise OSError(number, os.strerror(number) if match else str(error), str(path)) from error
