from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MessageType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MESSAGE_TYPE_UNSPECIFIED: _ClassVar[MessageType]
    MESSAGE_TYPE_HELLO: _ClassVar[MessageType]
    MESSAGE_TYPE_WELCOME: _ClassVar[MessageType]
    MESSAGE_TYPE_REFUSED: _ClassVar[MessageType]
    MESSAGE_TYPE_READY: _ClassVar[MessageType]
    MESSAGE_TYPE_FAULT: _ClassVar[MessageType]
    MESSAGE_TYPE_SHUTDOWN: _ClassVar[MessageType]
    MESSAGE_TYPE_SAVE: _ClassVar[MessageType]
    MESSAGE_TYPE_SAVED: _ClassVar[MessageType]
    MESSAGE_TYPE_LOAD: _ClassVar[MessageType]
    MESSAGE_TYPE_PROCEED: _ClassVar[MessageType]
    MESSAGE_TYPE_SYNC: _ClassVar[MessageType]
    MESSAGE_TYPE_GRANT: _ClassVar[MessageType]
    MESSAGE_TYPE_KICK: _ClassVar[MessageType]
    MESSAGE_TYPE_CREDIT: _ClassVar[MessageType]
    MESSAGE_TYPE_STOPPED: _ClassVar[MessageType]
    MESSAGE_TYPE_PAUSE: _ClassVar[MessageType]
    MESSAGE_TYPE_PAUSED: _ClassVar[MessageType]
    MESSAGE_TYPE_SETTLE: _ClassVar[MessageType]
    MESSAGE_TYPE_STATUS_REQUEST: _ClassVar[MessageType]
    MESSAGE_TYPE_STATUS: _ClassVar[MessageType]
    MESSAGE_TYPE_QUIT: _ClassVar[MessageType]
    MESSAGE_TYPE_CHANGE_BACKEND: _ClassVar[MessageType]
    MESSAGE_TYPE_BACKEND_CHANGED: _ClassVar[MessageType]
    MESSAGE_TYPE_SYNC_POINT: _ClassVar[MessageType]
    MESSAGE_TYPE_RESET: _ClassVar[MessageType]
    MESSAGE_TYPE_HOST_INPUT: _ClassVar[MessageType]
    MESSAGE_TYPE_BACKEND_RESULT: _ClassVar[MessageType]
    MESSAGE_TYPE_CLOCK_READING: _ClassVar[MessageType]
    MESSAGE_TYPE_STOP_REQUEST: _ClassVar[MessageType]
    MESSAGE_TYPE_STATE_REQUEST: _ClassVar[MessageType]
    MESSAGE_TYPE_END: _ClassVar[MessageType]
    MESSAGE_TYPE_ENTROPY: _ClassVar[MessageType]
    MESSAGE_TYPE_MMIO_ACCESS: _ClassVar[MessageType]
    MESSAGE_TYPE_DONE: _ClassVar[MessageType]
    MESSAGE_TYPE_IRQ_LEVEL: _ClassVar[MessageType]
    MESSAGE_TYPE_REGISTER_MAP: _ClassVar[MessageType]
    MESSAGE_TYPE_FIFO_DATA: _ClassVar[MessageType]
    MESSAGE_TYPE_DMA_WRITE: _ClassVar[MessageType]
    MESSAGE_TYPE_TIMER_ARM: _ClassVar[MessageType]
    MESSAGE_TYPE_TIMER_CANCEL: _ClassVar[MessageType]
    MESSAGE_TYPE_TIMER_EXPIRED: _ClassVar[MessageType]
    MESSAGE_TYPE_HOST_OUTPUT: _ClassVar[MessageType]
    MESSAGE_TYPE_CLOCK_READ: _ClassVar[MessageType]
    MESSAGE_TYPE_DIGEST: _ClassVar[MessageType]
    MESSAGE_TYPE_POWER_OFF: _ClassVar[MessageType]
    MESSAGE_TYPE_ENTROPY_READ: _ClassVar[MessageType]
MESSAGE_TYPE_UNSPECIFIED: MessageType
MESSAGE_TYPE_HELLO: MessageType
MESSAGE_TYPE_WELCOME: MessageType
MESSAGE_TYPE_REFUSED: MessageType
MESSAGE_TYPE_READY: MessageType
MESSAGE_TYPE_FAULT: MessageType
MESSAGE_TYPE_SHUTDOWN: MessageType
MESSAGE_TYPE_SAVE: MessageType
MESSAGE_TYPE_SAVED: MessageType
MESSAGE_TYPE_LOAD: MessageType
MESSAGE_TYPE_PROCEED: MessageType
MESSAGE_TYPE_SYNC: MessageType
MESSAGE_TYPE_GRANT: MessageType
MESSAGE_TYPE_KICK: MessageType
MESSAGE_TYPE_CREDIT: MessageType
MESSAGE_TYPE_STOPPED: MessageType
MESSAGE_TYPE_PAUSE: MessageType
MESSAGE_TYPE_PAUSED: MessageType
MESSAGE_TYPE_SETTLE: MessageType
MESSAGE_TYPE_STATUS_REQUEST: MessageType
MESSAGE_TYPE_STATUS: MessageType
MESSAGE_TYPE_QUIT: MessageType
MESSAGE_TYPE_CHANGE_BACKEND: MessageType
MESSAGE_TYPE_BACKEND_CHANGED: MessageType
MESSAGE_TYPE_SYNC_POINT: MessageType
MESSAGE_TYPE_RESET: MessageType
MESSAGE_TYPE_HOST_INPUT: MessageType
MESSAGE_TYPE_BACKEND_RESULT: MessageType
MESSAGE_TYPE_CLOCK_READING: MessageType
MESSAGE_TYPE_STOP_REQUEST: MessageType
MESSAGE_TYPE_STATE_REQUEST: MessageType
MESSAGE_TYPE_END: MessageType
MESSAGE_TYPE_ENTROPY: MessageType
MESSAGE_TYPE_MMIO_ACCESS: MessageType
MESSAGE_TYPE_DONE: MessageType
MESSAGE_TYPE_IRQ_LEVEL: MessageType
MESSAGE_TYPE_REGISTER_MAP: MessageType
MESSAGE_TYPE_FIFO_DATA: MessageType
MESSAGE_TYPE_DMA_WRITE: MessageType
MESSAGE_TYPE_TIMER_ARM: MessageType
MESSAGE_TYPE_TIMER_CANCEL: MessageType
MESSAGE_TYPE_TIMER_EXPIRED: MessageType
MESSAGE_TYPE_HOST_OUTPUT: MessageType
MESSAGE_TYPE_CLOCK_READ: MessageType
MESSAGE_TYPE_DIGEST: MessageType
MESSAGE_TYPE_POWER_OFF: MessageType
MESSAGE_TYPE_ENTROPY_READ: MessageType

class Header(_message.Message):
    __slots__ = ("icount", "seq", "type", "source", "target")
    ICOUNT_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    icount: int
    seq: int
    type: MessageType
    source: int
    target: int
    def __init__(self, icount: _Optional[int] = ..., seq: _Optional[int] = ..., type: _Optional[_Union[MessageType, str]] = ..., source: _Optional[int] = ..., target: _Optional[int] = ...) -> None: ...
