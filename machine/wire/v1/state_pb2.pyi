from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Save(_message.Message):
    __slots__ = ("whole",)
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    whole: bool
    def __init__(self, whole: _Optional[bool] = ...) -> None: ...

class Saved(_message.Message):
    __slots__ = ("state", "staging", "granule", "granules", "whole", "front", "virtual_ns", "refused")
    STATE_FIELD_NUMBER: _ClassVar[int]
    STAGING_FIELD_NUMBER: _ClassVar[int]
    GRANULE_FIELD_NUMBER: _ClassVar[int]
    GRANULES_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    FRONT_FIELD_NUMBER: _ClassVar[int]
    VIRTUAL_NS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    state: bytes
    staging: str
    granule: int
    granules: bytes
    whole: bool
    front: bool
    virtual_ns: int
    refused: str
    def __init__(self, state: _Optional[bytes] = ..., staging: _Optional[str] = ..., granule: _Optional[int] = ..., granules: _Optional[bytes] = ..., whole: _Optional[bool] = ..., front: _Optional[bool] = ..., virtual_ns: _Optional[int] = ..., refused: _Optional[str] = ...) -> None: ...

class SavedPages(_message.Message):
    __slots__ = ("offset", "data")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    offset: int
    data: bytes
    def __init__(self, offset: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class PagesTaken(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Load(_message.Message):
    __slots__ = ("state", "recording", "number")
    STATE_FIELD_NUMBER: _ClassVar[int]
    RECORDING_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    state: bytes
    recording: str
    number: int
    def __init__(self, state: _Optional[bytes] = ..., recording: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class Proceed(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
