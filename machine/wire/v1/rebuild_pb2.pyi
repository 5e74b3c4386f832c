from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Checkpoint(_message.Message):
    __slots__ = ("seq",)
    SEQ_FIELD_NUMBER: _ClassVar[int]
    seq: int
    def __init__(self, seq: _Optional[int] = ...) -> None: ...

class Present(_message.Message):
    __slots__ = ("inputs", "waiting_bytes", "backend")
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    WAITING_BYTES_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    inputs: int
    waiting_bytes: int
    backend: str
    def __init__(self, inputs: _Optional[int] = ..., waiting_bytes: _Optional[int] = ..., backend: _Optional[str] = ...) -> None: ...

class MemoryMoved(_message.Message):
    __slots__ = ("memory_path",)
    MEMORY_PATH_FIELD_NUMBER: _ClassVar[int]
    memory_path: str
    def __init__(self, memory_path: _Optional[str] = ...) -> None: ...
