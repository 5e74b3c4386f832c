from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Rouse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DebuggerWrite(_message.Message):
    __slots__ = ("pc", "register", "value", "address", "data")
    PC_FIELD_NUMBER: _ClassVar[int]
    REGISTER_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    pc: int
    register: str
    value: int
    address: int
    data: bytes
    def __init__(self, pc: _Optional[int] = ..., register: _Optional[str] = ..., value: _Optional[int] = ..., address: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...
