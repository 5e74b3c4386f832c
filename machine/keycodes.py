"""Keys: QEMU's names and numbers for them, and what a keyboard of the United States has on its keys, as evdev codes.

Codes: include/uapi/linux/input-event-codes.h of Linux.  Names: QKeyCode of QEMU's qapi/ui.json.  Numbers: QEMU's
"number" of a key, the XT keyboard's scan code, one behind 0xe0 with 0x80 added.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# fmt: off
QCODES: Final[Mapping[str, int]] = {
    "unmapped": 0, "esc": 1, "1": 2, "2": 3, "3": 4, "4": 5, "5": 6, "6": 7, "7": 8, "8": 9, "9": 10, "0": 11,
    "minus": 12, "equal": 13, "backspace": 14, "tab": 15, "q": 16, "w": 17, "e": 18, "r": 19, "t": 20, "y": 21,
    "u": 22, "i": 23, "o": 24, "p": 25, "bracket_left": 26, "bracket_right": 27, "ret": 28, "ctrl": 29, "a": 30,
    "s": 31, "d": 32, "f": 33, "g": 34, "h": 35, "j": 36, "k": 37, "l": 38, "semicolon": 39, "apostrophe": 40,
    "grave_accent": 41, "shift": 42, "backslash": 43, "z": 44, "x": 45, "c": 46, "v": 47, "b": 48, "n": 49, "m": 50,
    "comma": 51, "dot": 52, "slash": 53, "shift_r": 54, "asterisk": 55, "kp_multiply": 55, "alt": 56, "spc": 57,
    "caps_lock": 58, "f1": 59, "f2": 60, "f3": 61, "f4": 62, "f5": 63, "f6": 64, "f7": 65, "f8": 66, "f9": 67,
    "f10": 68, "num_lock": 69, "scroll_lock": 70, "kp_7": 71, "kp_8": 72, "kp_9": 73, "kp_subtract": 74, "kp_4": 75,
    "kp_5": 76, "kp_6": 77, "kp_add": 78, "kp_1": 79, "kp_2": 80, "kp_3": 81, "kp_0": 82, "kp_decimal": 83,
    "less": 86, "f11": 87, "f12": 88, "ro": 89, "hiragana": 91, "henkan": 92, "katakanahiragana": 93, "muhenkan": 94,
    "kp_enter": 96, "ctrl_r": 97, "kp_divide": 98, "sysrq": 99, "print": 99, "alt_r": 100, "lf": 101, "home": 102,
    "up": 103, "pgup": 104, "left": 105, "right": 106, "end": 107, "down": 108, "pgdn": 109, "insert": 110,
    "delete": 111, "audiomute": 113, "volumedown": 114, "volumeup": 115, "power": 116, "kp_equals": 117, "pause": 119,
    "kp_comma": 121, "lang1": 122, "lang2": 123, "yen": 124, "meta_l": 125, "meta_r": 126, "compose": 127,
    "stop": 128, "again": 129, "props": 130, "undo": 131, "front": 132, "copy": 133, "open": 134, "paste": 135,
    "find": 136, "cut": 137, "help": 138, "menu": 139, "calculator": 140, "sleep": 142, "wake": 143, "mail": 155,
    "ac_bookmarks": 156, "computer": 157, "ac_back": 158, "ac_forward": 159, "audionext": 163, "audioplay": 164,
    "audioprev": 165, "audiostop": 166, "ac_home": 172, "ac_refresh": 173, "f13": 183, "f14": 184, "f15": 185,
    "f16": 186, "f17": 187, "f18": 188, "f19": 189, "f20": 190, "f21": 191, "f22": 192, "f23": 193, "f24": 194,
    "mediaselect": 226,
}
"""QEMU's name of a key -> evdev code.  `unmapped` is no key."""

_PLAIN: Final = {number: number for number in range(1, 0x54)}
"""The keys of the first PCs: Linux has kept their scan codes."""

NUMBERS: Final[Mapping[int, int]] = {
    **_PLAIN,
    0x54: 99, 0x56: 86, 0x57: 87, 0x58: 88, 0x59: 117, 0x5c: 95, 0x5d: 183, 0x5e: 184, 0x5f: 185, 0x70: 93, 0x73: 89,
    0x76: 85, 0x77: 91, 0x78: 90, 0x79: 92, 0x7b: 94, 0x7d: 124, 0x7e: 121, 0x90: 165, 0x99: 163, 0x9c: 96, 0x9d: 97,
    0xa0: 113, 0xa1: 140, 0xa2: 164, 0xa4: 166, 0xae: 114, 0xb0: 115, 0xb2: 172, 0xb5: 98, 0xb7: 99, 0xb8: 100,
    0xc6: 119, 0xc7: 102, 0xc8: 103, 0xc9: 104, 0xcb: 105, 0xcd: 106, 0xcf: 107, 0xd0: 108, 0xd1: 109, 0xd2: 110,
    0xd3: 111, 0xdb: 125, 0xdc: 126, 0xdd: 127, 0xde: 116, 0xdf: 142, 0xe3: 143, 0xe6: 156, 0xe7: 173, 0xe9: 159,
    0xea: 158, 0xeb: 157, 0xec: 155, 0xed: 226,
}
"""QEMU's number of a key -> evdev code."""
# fmt: on

KEY_LEFTCTRL: Final = QCODES["ctrl"]
KEY_RIGHTCTRL: Final = QCODES["ctrl_r"]
KEY_LEFTSHIFT: Final = QCODES["shift"]
KEY_POWER: Final = QCODES["power"]

_UNSHIFTED: Final[Mapping[str, str]] = {
    "`": "grave_accent", "-": "minus", "=": "equal", "[": "bracket_left", "]": "bracket_right", "\\": "backslash",
    ";": "semicolon", "'": "apostrophe", ",": "comma", ".": "dot", "/": "slash", " ": "spc", "\n": "ret", "\t": "tab",
}  # fmt: skip
_SHIFTED: Final[Mapping[str, str]] = {
    "~": "`", "!": "1", "@": "2", "#": "3", "$": "4", "%": "5", "^": "6", "&": "7",
    "*": "8", "(": "9", ")": "0", "_": "-", "+": "=", "{": "[",
    "}": "]", "|": "\\", ":": ";", '"': "'", "<": ",", ">": ".", "?": "/",
}  # fmt: skip


def typed_key(character: str) -> tuple[int, bool] | None:
    """The key that has a character on it and whether Shift is held with it; None if no key has it."""
    shifted = character in _SHIFTED or (character.isascii() and character.isupper())
    plain = _SHIFTED.get(character, character.lower() if shifted else character)
    name = _UNSHIFTED.get(plain, plain)
    if len(plain) != 1 or name not in QCODES:
        return None
    return QCODES[name], shifted
