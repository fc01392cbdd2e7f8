"""How pages for people are made: from templates that escape every text, with one style, one script and a policy.

A page is one file that loads nothing from anywhere, so it opens from a disk, a mail or a server alike.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from data.base.words import counted, human_seconds, human_size

_HERE = Path(__file__).parent


def render(template: str, **values: Any) -> str:
    """Fill a template of this folder; it also gets `page`: the style, the script and the script's hash.

    The page's own policy allows the script of that hash and no other, whatever a text may hold.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "size": human_size,
        "seconds": human_seconds,
        "counted": counted,
        "contents": contents,
    }
    return environment.get_template(template).render(page=_assets(), **values)


def contents(body: str) -> list[tuple[str, str]]:
    """(id, title) of the sections of a page's own markup: a text from outside is escaped and can't look like one."""
    return re.findall(r'<h2 id="([a-z]+)">([^<]+)</h2>', body)


def _assets() -> dict[str, Any]:
    style, script = ((_HERE / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return {"style": Markup(style), "script": Markup(script), "script_hash": digest}
