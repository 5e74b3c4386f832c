from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RunMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_MODE_UNSPECIFIED: _ClassVar[RunMode]
    RUN_MODE_NONE: _ClassVar[RunMode]
    RUN_MODE_RECORD: _ClassVar[RunMode]
    RUN_MODE_REPLAY_LOG: _ClassVar[RunMode]
    RUN_MODE_REPLAY_LIVE: _ClassVar[RunMode]

class FaultCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAULT_CODE_UNSPECIFIED: _ClassVar[FaultCode]
    FAULT_CODE_SETUP: _ClassVar[FaultCode]
    FAULT_CODE_INTERNAL: _ClassVar[FaultCode]
    FAULT_CODE_DIVERGENCE: _ClassVar[FaultCode]

class RunState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_STATE_UNSPECIFIED: _ClassVar[RunState]
    RUN_STATE_STARTING: _ClassVar[RunState]
    RUN_STATE_RUNNING: _ClassVar[RunState]
    RUN_STATE_ENDED: _ClassVar[RunState]
    RUN_STATE_FAILED: _ClassVar[RunState]
    RUN_STATE_DIVERGED: _ClassVar[RunState]
    RUN_STATE_STOPPED: _ClassVar[RunState]

class NodeState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NODE_STATE_UNSPECIFIED: _ClassVar[NodeState]
    NODE_STATE_MISSING: _ClassVar[NodeState]
    NODE_STATE_STARTING: _ClassVar[NodeState]
    NODE_STATE_READY: _ClassVar[NodeState]
    NODE_STATE_AWAITED: _ClassVar[NodeState]
RUN_MODE_UNSPECIFIED: RunMode
RUN_MODE_NONE: RunMode
RUN_MODE_RECORD: RunMode
RUN_MODE_REPLAY_LOG: RunMode
RUN_MODE_REPLAY_LIVE: RunMode
FAULT_CODE_UNSPECIFIED: FaultCode
FAULT_CODE_SETUP: FaultCode
FAULT_CODE_INTERNAL: FaultCode
FAULT_CODE_DIVERGENCE: FaultCode
RUN_STATE_UNSPECIFIED: RunState
RUN_STATE_STARTING: RunState
RUN_STATE_RUNNING: RunState
RUN_STATE_ENDED: RunState
RUN_STATE_FAILED: RunState
RUN_STATE_DIVERGED: RunState
RUN_STATE_STOPPED: RunState
NODE_STATE_UNSPECIFIED: NodeState
NODE_STATE_MISSING: NodeState
NODE_STATE_STARTING: NodeState
NODE_STATE_READY: NodeState
NODE_STATE_AWAITED: NodeState

class Hello(_message.Message):
    __slots__ = ("wire_version", "node", "pid", "memory_path", "host", "metrics", "types")
    WIRE_VERSION_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    MEMORY_PATH_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    wire_version: int
    node: str
    pid: int
    memory_path: str
    host: str
    metrics: str
    types: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, wire_version: _Optional[int] = ..., node: _Optional[str] = ..., pid: _Optional[int] = ..., memory_path: _Optional[str] = ..., host: _Optional[str] = ..., metrics: _Optional[str] = ..., types: _Optional[_Iterable[int]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("number", "mode", "memory_path", "rebuild", "continued", "continued_seq", "backend", "backend_seq")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_PATH_FIELD_NUMBER: _ClassVar[int]
    REBUILD_FIELD_NUMBER: _ClassVar[int]
    CONTINUED_FIELD_NUMBER: _ClassVar[int]
    CONTINUED_SEQ_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    BACKEND_SEQ_FIELD_NUMBER: _ClassVar[int]
    number: int
    mode: RunMode
    memory_path: str
    rebuild: bool
    continued: str
    continued_seq: int
    backend: str
    backend_seq: int
    def __init__(self, number: _Optional[int] = ..., mode: _Optional[_Union[RunMode, str]] = ..., memory_path: _Optional[str] = ..., rebuild: _Optional[bool] = ..., continued: _Optional[str] = ..., continued_seq: _Optional[int] = ..., backend: _Optional[str] = ..., backend_seq: _Optional[int] = ...) -> None: ...

class Refused(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class StateVersion(_message.Message):
    __slots__ = ("name", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class Ready(_message.Message):
    __slots__ = ("states", "from_seq")
    STATES_FIELD_NUMBER: _ClassVar[int]
    FROM_SEQ_FIELD_NUMBER: _ClassVar[int]
    states: _containers.RepeatedCompositeFieldContainer[StateVersion]
    from_seq: int
    def __init__(self, states: _Optional[_Iterable[_Union[StateVersion, _Mapping]]] = ..., from_seq: _Optional[int] = ...) -> None: ...

class Fault(_message.Message):
    __slots__ = ("code", "detail")
    CODE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    code: FaultCode
    detail: str
    def __init__(self, code: _Optional[_Union[FaultCode, str]] = ..., detail: _Optional[str] = ...) -> None: ...

class Shutdown(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StatusRequest(_message.Message):
    __slots__ = ("nodes",)
    NODES_FIELD_NUMBER: _ClassVar[int]
    nodes: bool
    def __init__(self, nodes: _Optional[bool] = ...) -> None: ...

class Status(_message.Message):
    __slots__ = ("state", "icount", "end_icount", "messages", "inputs", "digest", "detail", "power_off_reason", "waiting_for", "refused", "icount_per_s", "messages_per_s", "remote_bytes", "mode", "nodes", "held")
    STATE_FIELD_NUMBER: _ClassVar[int]
    ICOUNT_FIELD_NUMBER: _ClassVar[int]
    END_ICOUNT_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    POWER_OFF_REASON_FIELD_NUMBER: _ClassVar[int]
    WAITING_FOR_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    ICOUNT_PER_S_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_PER_S_FIELD_NUMBER: _ClassVar[int]
    REMOTE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    state: RunState
    icount: int
    end_icount: int
    messages: int
    inputs: int
    digest: bytes
    detail: str
    power_off_reason: int
    waiting_for: str
    refused: int
    icount_per_s: int
    messages_per_s: int
    remote_bytes: int
    mode: RunMode
    nodes: _containers.RepeatedCompositeFieldContainer[NodeStatus]
    held: str
    def __init__(self, state: _Optional[_Union[RunState, str]] = ..., icount: _Optional[int] = ..., end_icount: _Optional[int] = ..., messages: _Optional[int] = ..., inputs: _Optional[int] = ..., digest: _Optional[bytes] = ..., detail: _Optional[str] = ..., power_off_reason: _Optional[int] = ..., waiting_for: _Optional[str] = ..., refused: _Optional[int] = ..., icount_per_s: _Optional[int] = ..., messages_per_s: _Optional[int] = ..., remote_bytes: _Optional[int] = ..., mode: _Optional[_Union[RunMode, str]] = ..., nodes: _Optional[_Iterable[_Union[NodeStatus, _Mapping]]] = ..., held: _Optional[str] = ...) -> None: ...

class NodeStatus(_message.Message):
    __slots__ = ("name", "state", "host", "pid", "messages", "messages_per_s", "waiting", "backend", "metrics")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_PER_S_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: NodeState
    host: str
    pid: int
    messages: int
    messages_per_s: int
    waiting: int
    backend: str
    metrics: str
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[NodeState, str]] = ..., host: _Optional[str] = ..., pid: _Optional[int] = ..., messages: _Optional[int] = ..., messages_per_s: _Optional[int] = ..., waiting: _Optional[int] = ..., backend: _Optional[str] = ..., metrics: _Optional[str] = ...) -> None: ...

class Quit(_message.Message):
    __slots__ = ("power_off",)
    POWER_OFF_FIELD_NUMBER: _ClassVar[int]
    power_off: bool
    def __init__(self, power_off: _Optional[bool] = ...) -> None: ...

class ProcessEnded(_message.Message):
    __slots__ = ("node", "pid", "detail")
    NODE_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    node: str
    pid: int
    detail: str
    def __init__(self, node: _Optional[str] = ..., pid: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...

class ChangeBackend(_message.Message):
    __slots__ = ("node", "word")
    NODE_FIELD_NUMBER: _ClassVar[int]
    WORD_FIELD_NUMBER: _ClassVar[int]
    node: str
    word: str
    def __init__(self, node: _Optional[str] = ..., word: _Optional[str] = ...) -> None: ...

class BackendChanged(_message.Message):
    __slots__ = ("error", "stays")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    STAYS_FIELD_NUMBER: _ClassVar[int]
    error: str
    stays: bool
    def __init__(self, error: _Optional[str] = ..., stays: _Optional[bool] = ...) -> None: ...
