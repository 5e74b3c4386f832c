from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AccessKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACCESS_KIND_UNSPECIFIED: _ClassVar[AccessKind]
    ACCESS_KIND_WRITE: _ClassVar[AccessKind]
    ACCESS_KIND_READ: _ClassVar[AccessKind]
    ACCESS_KIND_POP: _ClassVar[AccessKind]

class ReadKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    READ_KIND_UNSPECIFIED: _ClassVar[ReadKind]
    READ_KIND_CALL: _ClassVar[ReadKind]
    READ_KIND_SHADOW: _ClassVar[ReadKind]
    READ_KIND_FIFO: _ClassVar[ReadKind]

class WriteKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WRITE_KIND_UNSPECIFIED: _ClassVar[WriteKind]
    WRITE_KIND_CALL: _ClassVar[WriteKind]
    WRITE_KIND_POSTED: _ClassVar[WriteKind]
ACCESS_KIND_UNSPECIFIED: AccessKind
ACCESS_KIND_WRITE: AccessKind
ACCESS_KIND_READ: AccessKind
ACCESS_KIND_POP: AccessKind
READ_KIND_UNSPECIFIED: ReadKind
READ_KIND_CALL: ReadKind
READ_KIND_SHADOW: ReadKind
READ_KIND_FIFO: ReadKind
WRITE_KIND_UNSPECIFIED: WriteKind
WRITE_KIND_CALL: WriteKind
WRITE_KIND_POSTED: WriteKind

class Access(_message.Message):
    __slots__ = ("kind", "offset", "size", "value", "data")
    KIND_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    kind: AccessKind
    offset: int
    size: int
    value: int
    data: bytes
    def __init__(self, kind: _Optional[_Union[AccessKind, str]] = ..., offset: _Optional[int] = ..., size: _Optional[int] = ..., value: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class MmioAccess(_message.Message):
    __slots__ = ("accesses",)
    ACCESSES_FIELD_NUMBER: _ClassVar[int]
    accesses: _containers.RepeatedCompositeFieldContainer[Access]
    def __init__(self, accesses: _Optional[_Iterable[_Union[Access, _Mapping]]] = ...) -> None: ...

class Done(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: int
    def __init__(self, value: _Optional[int] = ...) -> None: ...

class IrqLevel(_message.Message):
    __slots__ = ("level",)
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    level: bool
    def __init__(self, level: _Optional[bool] = ...) -> None: ...

class Register(_message.Message):
    __slots__ = ("offset", "read", "write", "value", "latch_mask", "call_mask", "fifo_mask", "raise_mask")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    WRITE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LATCH_MASK_FIELD_NUMBER: _ClassVar[int]
    CALL_MASK_FIELD_NUMBER: _ClassVar[int]
    FIFO_MASK_FIELD_NUMBER: _ClassVar[int]
    RAISE_MASK_FIELD_NUMBER: _ClassVar[int]
    offset: int
    read: ReadKind
    write: WriteKind
    value: int
    latch_mask: int
    call_mask: int
    fifo_mask: int
    raise_mask: int
    def __init__(self, offset: _Optional[int] = ..., read: _Optional[_Union[ReadKind, str]] = ..., write: _Optional[_Union[WriteKind, str]] = ..., value: _Optional[int] = ..., latch_mask: _Optional[int] = ..., call_mask: _Optional[int] = ..., fifo_mask: _Optional[int] = ..., raise_mask: _Optional[int] = ...) -> None: ...

class RegisterMap(_message.Message):
    __slots__ = ("registers",)
    REGISTERS_FIELD_NUMBER: _ClassVar[int]
    registers: _containers.RepeatedCompositeFieldContainer[Register]
    def __init__(self, registers: _Optional[_Iterable[_Union[Register, _Mapping]]] = ...) -> None: ...

class FifoData(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class DmaWrite(_message.Message):
    __slots__ = ("address", "data")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    address: int
    data: bytes
    def __init__(self, address: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class DmaRead(_message.Message):
    __slots__ = ("address", "size")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    address: int
    size: int
    def __init__(self, address: _Optional[int] = ..., size: _Optional[int] = ...) -> None: ...

class DmaData(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class TimerArm(_message.Message):
    __slots__ = ("timer", "delay_ns")
    TIMER_FIELD_NUMBER: _ClassVar[int]
    DELAY_NS_FIELD_NUMBER: _ClassVar[int]
    timer: int
    delay_ns: int
    def __init__(self, timer: _Optional[int] = ..., delay_ns: _Optional[int] = ...) -> None: ...

class TimerCancel(_message.Message):
    __slots__ = ("timer",)
    TIMER_FIELD_NUMBER: _ClassVar[int]
    timer: int
    def __init__(self, timer: _Optional[int] = ...) -> None: ...

class TimerExpired(_message.Message):
    __slots__ = ("timer",)
    TIMER_FIELD_NUMBER: _ClassVar[int]
    timer: int
    def __init__(self, timer: _Optional[int] = ...) -> None: ...
