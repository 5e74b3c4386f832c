"""Which key is which: Linux key codes to the usages of the keyboard page (HID Usage Tables 1.4, section 10)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

FIRST_USAGE: Final = 4
FIRST_MODIFIER: Final = 0xE0
NO_KEY: Final = 0

_KEYS: Final = (
    # 4: a to z.
    *(30, 48, 46, 32, 18, 33, 34, 35, 23, 36, 37, 38, 50, 49, 24, 25, 16, 19, 31, 20, 22, 47, 17, 45, 21, 44),
    # 30: 1 to 0; enter, escape, backspace, tab, space.
    *(2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 28, 1, 14, 15, 57),
    # 45: - = [ ] \, the European #, which shares a key code with \, then ; ' ` , . / and caps lock.
    *(12, 13, 26, 27, 43, NO_KEY, 39, 40, 41, 51, 52, 53, 58),
    # 58: F1 to F12; print, scroll lock, pause, insert, home, page up, delete, end, page down.
    *(59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 87, 88, 99, 70, 119, 110, 102, 104, 111, 107, 109),
    # 79: right, left, down, up; num lock, keypad / * - + enter 1 to 9, 0 and the point.
    *(106, 105, 108, 103, 69, 98, 55, 74, 78, 96, 79, 80, 81, 75, 76, 77, 71, 72, 73, 82, 83),
    # 100: the key beside the left shift, application, power, keypad =; F13 to F24.
    *(86, 127, 116, 117, 183, 184, 185, 186, 187, 188, 189, 190, 191, 192, 193, 194),
    # 116: open, help, properties, front, stop, again, undo, cut, copy, paste, find, mute, volume up and down.
    *(134, 138, 130, 132, 128, 129, 131, 137, 133, 135, 136, 113, 115, 114),
)
"""Key codes from usage 4 on."""

_OTHERS: Final = {
    # Keypad comma; Ro, Katakana/Hiragana, Yen, Henkan, Muhenkan, the Japanese keypad's comma.
    121: 133, 89: 135, 93: 136, 124: 137, 92: 138, 94: 139, 95: 140,
    # Hangeul, Hanja, Katakana, Hiragana, Zenkaku/Hankaku.
    122: 144, 123: 145, 90: 146, 91: 147, 85: 148,
}  # fmt: skip

_MODIFIERS: Final = (29, 42, 56, 125, 97, 54, 100, 126)
"""Left control, shift, alt, meta, then the right ones."""

USAGES: Final[Mapping[int, int]] = {
    **{code: usage for usage, code in enumerate(_KEYS, FIRST_USAGE) if code != NO_KEY},
    **_OTHERS,
    **{code: FIRST_MODIFIER + bit for bit, code in enumerate(_MODIFIERS)},
}
"""Linux key code -> usage."""
