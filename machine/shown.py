"""Text of anybody's on the user's terminal: control characters are shown, not sent."""

from __future__ import annotations

from typing import Final

_CONTROL: Final = (*range(0x20), *range(0x7F, 0xA0))
_MARKS: Final = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""Those that turn the direction of what follows (Unicode, Bidi_Control): a name could show as another."""
_SURROGATES: Final = range(0xD800, 0xE000)
"""A file name's bytes that are not UTF-8, which no stream of ours can encode."""
_LINE: Final = (
    {code: f"\\x{code:02x}" for code in _CONTROL}
    | {code: f"\\u{code:04x}" for code in (*_MARKS, *_SURROGATES)}
    | {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}
)
_TEXT: Final = {code: text for code, text in _LINE.items() if chr(code) not in "\n\t"}


def shown_line(text: str) -> str:
    """One line, whatever is in it; line ends at its own end are left away."""
    return text.rstrip("\n").translate(_LINE)


def shown_text(text: str) -> str:
    """Lines, with their ends and tabs."""
    return text.translate(_TEXT)
