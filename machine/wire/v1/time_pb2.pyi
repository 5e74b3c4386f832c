from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DigestScope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DIGEST_SCOPE_UNSPECIFIED: _ClassVar[DigestScope]
    DIGEST_SCOPE_REGISTERS: _ClassVar[DigestScope]
    DIGEST_SCOPE_ALL: _ClassVar[DigestScope]

class PowerOffReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POWER_OFF_REASON_UNSPECIFIED: _ClassVar[PowerOffReason]
    POWER_OFF_REASON_SHUTDOWN: _ClassVar[PowerOffReason]
    POWER_OFF_REASON_REBOOT: _ClassVar[PowerOffReason]
    POWER_OFF_REASON_FAILURE: _ClassVar[PowerOffReason]
DIGEST_SCOPE_UNSPECIFIED: DigestScope
DIGEST_SCOPE_REGISTERS: DigestScope
DIGEST_SCOPE_ALL: DigestScope
POWER_OFF_REASON_UNSPECIFIED: PowerOffReason
POWER_OFF_REASON_SHUTDOWN: PowerOffReason
POWER_OFF_REASON_REBOOT: PowerOffReason
POWER_OFF_REASON_FAILURE: PowerOffReason

class Sync(_message.Message):
    __slots__ = ("idle", "timer_ns")
    IDLE_FIELD_NUMBER: _ClassVar[int]
    TIMER_NS_FIELD_NUMBER: _ClassVar[int]
    idle: bool
    timer_ns: int
    def __init__(self, idle: _Optional[bool] = ..., timer_ns: _Optional[int] = ...) -> None: ...

class SyncPoint(_message.Message):
    __slots__ = ("idle_ns",)
    IDLE_NS_FIELD_NUMBER: _ClassVar[int]
    idle_ns: int
    def __init__(self, idle_ns: _Optional[int] = ...) -> None: ...

class Grant(_message.Message):
    __slots__ = ("until_icount", "wake_ns", "pc", "after", "gathered", "device")
    UNTIL_ICOUNT_FIELD_NUMBER: _ClassVar[int]
    WAKE_NS_FIELD_NUMBER: _ClassVar[int]
    PC_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    GATHERED_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    until_icount: int
    wake_ns: int
    pc: int
    after: int
    gathered: bytes
    device: int
    def __init__(self, until_icount: _Optional[int] = ..., wake_ns: _Optional[int] = ..., pc: _Optional[int] = ..., after: _Optional[int] = ..., gathered: _Optional[bytes] = ..., device: _Optional[int] = ...) -> None: ...

class Kick(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Credit(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Stopped(_message.Message):
    __slots__ = ("digest",)
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    def __init__(self, digest: _Optional[bytes] = ...) -> None: ...

class Pause(_message.Message):
    __slots__ = ("on", "at_icount", "ticket", "let_go")
    ON_FIELD_NUMBER: _ClassVar[int]
    AT_ICOUNT_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    LET_GO_FIELD_NUMBER: _ClassVar[int]
    on: bool
    at_icount: int
    ticket: int
    let_go: bool
    def __init__(self, on: _Optional[bool] = ..., at_icount: _Optional[int] = ..., ticket: _Optional[int] = ..., let_go: _Optional[bool] = ...) -> None: ...

class Paused(_message.Message):
    __slots__ = ("ticket", "held", "virtual_ns")
    TICKET_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    VIRTUAL_NS_FIELD_NUMBER: _ClassVar[int]
    ticket: int
    held: bool
    virtual_ns: int
    def __init__(self, ticket: _Optional[int] = ..., held: _Optional[bool] = ..., virtual_ns: _Optional[int] = ...) -> None: ...

class Settle(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Reset(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StopRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StateRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Digest(_message.Message):
    __slots__ = ("scope", "digest")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    scope: DigestScope
    digest: bytes
    def __init__(self, scope: _Optional[_Union[DigestScope, str]] = ..., digest: _Optional[bytes] = ...) -> None: ...

class PowerOff(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: PowerOffReason
    def __init__(self, reason: _Optional[_Union[PowerOffReason, str]] = ...) -> None: ...

class End(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: PowerOffReason
    def __init__(self, reason: _Optional[_Union[PowerOffReason, str]] = ...) -> None: ...
