"""A recipe with some settings changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hipdet.errors import ConfigError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


@dataclass(frozen=True)
class Variant:
    """A name, which is that of its folder too, and settings as ``--cfg-options`` has them.

    Raises:
        ConfigError: a name that can't be a folder's.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ConfigError(f"variant {self.name!r}: expected a name of letters, digits and . _ + -")
