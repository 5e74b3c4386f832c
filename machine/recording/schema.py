"""The protobuf schemas a log embeds, so that any MCAP tool can decode it."""

from __future__ import annotations

import typing

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

from machine.codec import descriptor_of

if typing.TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FileDescriptor


def schema_of(message_type: int) -> bytes:
    """A serialised FileDescriptorSet that defines one message type and all it is made of, and no more.

    The other messages of the file are left out: a log carries a schema for each type it holds.
    """
    descriptor = typing.cast("Descriptor", descriptor_of(message_type).DESCRIPTOR)
    needed: set[str] = set()
    _collect(descriptor, needed)
    files: dict[str, FileDescriptorProto] = {}
    _add_file(descriptor.file, needed, files)
    return bytes(FileDescriptorSet(file=list(files.values())).SerializeToString(deterministic=True))


def _collect(descriptor: Descriptor, needed: set[str]) -> None:
    if descriptor.full_name in needed:
        return
    needed.add(descriptor.full_name)
    for field in descriptor.fields:
        if field.message_type is not None:
            _collect(field.message_type, needed)
        if field.enum_type is not None:
            needed.add(field.enum_type.full_name)


def _add_file(file: FileDescriptor, needed: set[str], files: dict[str, FileDescriptorProto]) -> None:
    for dependency in file.dependencies:
        _add_file(dependency, needed, files)
    whole = FileDescriptorProto()
    file.CopyToProto(whole)
    part = FileDescriptorProto(name=whole.name, package=whole.package, dependency=whole.dependency, syntax=whole.syntax)
    part.message_type.extend(_needed_messages(whole, needed))
    part.enum_type.extend(e for e in whole.enum_type if f"{whole.package}.{e.name}" in needed)
    files[file.name] = part


def _needed_messages(whole: FileDescriptorProto, needed: set[str]) -> list[DescriptorProto]:
    return [m for m in whole.message_type if f"{whole.package}.{m.name}" in needed]
