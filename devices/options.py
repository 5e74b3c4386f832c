"""What a slot's [device.options] may say: looking them up with one clear error for each that is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machine.errors import BoardError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from devices.model import DeviceModel, Options


def without_options(create: Callable[[], DeviceModel]) -> Callable[[Options], DeviceModel]:
    """DeviceSpec.create of a device that has nothing to choose."""

    def checked(options: Options) -> DeviceModel:
        refuse_unknown(options, ())
        return create()

    return checked


def refuse_unknown(options: Options, known: Collection[str]) -> None:
    """BoardError names the first option that is not known."""
    for key in options:
        if key not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise BoardError(f"options.{key}: unknown option (known: {listed})")


def text_option(options: Options, key: str, default: str) -> str:
    """An option that is a string; BoardError if it is something else."""
    value = options.get(key, default)
    if not isinstance(value, str):
        raise BoardError(f"options.{key}: {value!r} is not a string")
    return value
