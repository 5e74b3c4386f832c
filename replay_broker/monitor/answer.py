"""What a command comes to: a value or a refusal, now or later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

GENERIC: Final = "GenericError"
NOT_FOUND: Final = "CommandNotFound"
NO_DEVICE: Final = "DeviceNotFound"


class CommandError(Exception):
    """A command cannot be done; `kind` is QMP's error class, the text its description."""

    def __init__(self, text: str, kind: str = GENERIC) -> None:
        super().__init__(text)
        self.kind = kind


class Answer:
    """One command's outcome; whoever waits for it is told once."""

    def __init__(self) -> None:
        self.done = False
        self._value: object = None
        self._error: CommandError | None = None
        self._waiting: list[Callable[[Answer], None]] = []

    @classmethod
    def of(cls, value: object) -> Answer:
        """An outcome that is there already."""
        answer = cls()
        answer.give(value)
        return answer

    def give(self, value: object) -> None:
        """This is what it came to; what comes after the first time is not heard."""
        self._finish(value, None)

    def refuse(self, error: CommandError) -> None:
        """It could not be done."""
        self._finish(None, error)

    def value(self) -> object:
        """What it came to; CommandError if it was refused."""
        assert self.done
        if self._error is not None:
            raise self._error
        return self._value

    def then(self, tell: Callable[[Answer], None]) -> None:
        """Call `tell` with this answer when it is done, at once if it is."""
        if self.done:
            tell(self)
        else:
            self._waiting.append(tell)

    def mapped(self, form: Callable[[object], object]) -> Answer:
        """The answer whose value is `form` of this one's; a refusal stays one."""
        other = Answer()

        def pass_on(_: Answer) -> None:
            try:
                other.give(form(self.value()))
            except CommandError as error:
                other.refuse(error)

        self.then(pass_on)
        return other

    def _finish(self, value: object, error: CommandError | None) -> None:
        if self.done:
            return
        self.done, self._value, self._error = True, value, error
        waiting, self._waiting = self._waiting, []
        for tell in waiting:
            tell(self)
