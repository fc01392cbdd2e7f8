"""Fields that were added to a record after files with that record had been written.

Such a field names its neutral value, as in `glimpses: int = field(default=2, metadata={"neutral": 1})`: the value with
which everything works as before the field existed. Files without the field are read as if they had that value. It is
written once and never changed, and need not be the default.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any


def neutral_values(record: Any) -> dict[str, Any]:
    """The neutral values of a dataclass's fields, by name, of those that have one."""
    return {each.name: each.metadata["neutral"] for each in fields(record) if "neutral" in each.metadata}
