"""A backend that presses three times at the start and writes down what it is given, where in the run and in which."""

from __future__ import annotations

from typing import TextIO

from devices.api import BackendError, BackendResult, HostBackend, HostEvent, Submit


class Notebook(HostBackend):
    """`module:dejavm_outside.notebook:Notebook,PATH`."""

    def __init__(self, argument: str, name: str) -> None:
        super().__init__(name)
        self._path = argument
        self._file: TextIO | None = None

    def open(self, submit: Submit) -> None:
        """Open the notebook and press."""
        super().open(submit)
        try:
            self._file = open(self._path, "a")  # noqa: SIM115  # it is closed in close()
        except OSError as error:
            raise BackendError(f"{self._name}: {self._path}: {error.strerror}") from error
        self._note(f"opened in {self.run.mode.name} at {self.run.icount}")
        self.submit(b"xxx")
        self.submit(b"", HostEvent.BREAK)

    def write(self, data: bytes) -> BackendResult:
        """Write down what the device says."""
        self._note(f"at {self.run.icount}: {data.decode().strip()}")
        return BackendResult(len(data))

    def close(self) -> None:
        """Close the notebook."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _note(self, text: str) -> None:
        assert self._file is not None
        self._file.write(text + "\n")
        self._file.flush()


class Wiretap(Notebook):
    """A notebook that the guest could read behind the broker's back."""

    @property
    def unrecordable(self) -> str:
        """Why."""
        return "the guest reads the notebook's own memory"
