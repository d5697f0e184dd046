"""Text that a file or a server says of itself, made harmless for a terminal."""

from __future__ import annotations

import unicodedata

_CONTROLS = ("Cc", "Cf", "Cs", "Zl", "Zp")  # of Unicode's categories, what a terminal does not show but does


def plain(text: str) -> str:
    """Control characters other than the line feed as escapes."""
    return "".join(c if c == "\n" or unicodedata.category(c) not in _CONTROLS else ascii(c)[1:-1] for c in text)
