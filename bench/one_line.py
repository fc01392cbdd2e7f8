"""A missing input ends a bench in one line, as it does for the commands of the pipeline."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from data.base.errors import DataError, ModelError


def in_one_line(main: Callable[[], None]) -> None:
    """Call `main`; exit code 1 and one line if an input or a program is missing or can't be used."""
    try:
        main()
    except (DataError, ModelError, ImportError, subprocess.SubprocessError) as error:
        raise SystemExit(f"error: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except OSError as error:
        raise SystemExit(f"error: {error.filename}: {error.strerror}") from None
