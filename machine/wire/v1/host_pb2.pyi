from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HostEvent(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HOST_EVENT_UNSPECIFIED: _ClassVar[HostEvent]
    HOST_EVENT_DATA: _ClassVar[HostEvent]
    HOST_EVENT_WRITABLE: _ClassVar[HostEvent]
    HOST_EVENT_OPENED: _ClassVar[HostEvent]
    HOST_EVENT_CLOSED: _ClassVar[HostEvent]
    HOST_EVENT_BREAK: _ClassVar[HostEvent]
HOST_EVENT_UNSPECIFIED: HostEvent
HOST_EVENT_DATA: HostEvent
HOST_EVENT_WRITABLE: HostEvent
HOST_EVENT_OPENED: HostEvent
HOST_EVENT_CLOSED: HostEvent
HOST_EVENT_BREAK: HostEvent

class HostInput(_message.Message):
    __slots__ = ("event", "data", "delay_ns", "by_monitor")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    DELAY_NS_FIELD_NUMBER: _ClassVar[int]
    BY_MONITOR_FIELD_NUMBER: _ClassVar[int]
    event: HostEvent
    data: bytes
    delay_ns: int
    by_monitor: bool
    def __init__(self, event: _Optional[_Union[HostEvent, str]] = ..., data: _Optional[bytes] = ..., delay_ns: _Optional[int] = ..., by_monitor: _Optional[bool] = ...) -> None: ...

class HostOutput(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class BackendResult(_message.Message):
    __slots__ = ("accepted", "error")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    accepted: int
    error: int
    def __init__(self, accepted: _Optional[int] = ..., error: _Optional[int] = ...) -> None: ...

class ClockRead(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ClockReading(_message.Message):
    __slots__ = ("unix_ns",)
    UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    unix_ns: int
    def __init__(self, unix_ns: _Optional[int] = ...) -> None: ...

class EntropyRead(_message.Message):
    __slots__ = ("size",)
    SIZE_FIELD_NUMBER: _ClassVar[int]
    size: int
    def __init__(self, size: _Optional[int] = ...) -> None: ...

class Entropy(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...
