"""`python -m pipeline serve`: a page on which a trained model answers questions about your own pictures."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from data.base.errors import DataError
from data.base.words import show
from pipeline.commands.ask import RUN_HELP
from tasks.setup.config_files import INSTALLED

PICTURES = 12
HERE = "127.0.0.1"


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", default="", help=RUN_HELP)
    parser.add_argument(
        "--host", default=HERE, help=f"address to listen on (default: {HERE}, this machine only)"
    )
    parser.add_argument("--port", type=int, help="port to listen on (default: the first free one from 7860)")


def serve(flags: argparse.Namespace) -> int:
    """Serve a page that asks a trained model about pictures, until Ctrl-C."""
    if flags.port is not None:
        _check_port(flags.host, flags.port)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    show(f"loading {flags.run or 'the newest model'} ...")  # gradio and torch take seconds
    with tempfile.TemporaryDirectory(prefix="vqa-serve-") as uploads:
        # gradio reads these when it is imported: it reports nothing to anyone, and uploads are removed at the end.
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": uploads}
        page, options = _page_of(flags.run, Path(uploads))
        _, address, _ = page.launch(
            **options, server_name=flags.host, server_port=flags.port, prevent_thread_lock=True
        )
        show(f"{address}  (Ctrl-C ends it)")
        if flags.host not in (HERE, "localhost", "::1"):
            show("Whoever reaches this address can use the page: it has no password.")
        page.block_thread()
    return 0


def _check_port(host: str, port: int) -> None:
    """DataError where nothing can listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or "it has to be a number from 0 to 65535"
        raise DataError(
            f"{host}:{port}: {why}; name another --port, or none for the first free one"
        ) from error


def _page_of(run: str, folder: Path) -> tuple[Any, dict[str, Any]]:
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        how = "pip install gradio" if INSTALLED else "pip install -c constraints.txt -e '.[serve]'"
        raise DataError(
            f"the page needs gradio, which is not installed ({error}); to install it: {how}"
        ) from error
    from pipeline.commands.serve.page import OPTIONS, build_page
    from tasks.library.trained_model import load_model

    model = load_model(run)
    model.prepare()
    return build_page(model, model.origin.examples(PICTURES), folder), OPTIONS
