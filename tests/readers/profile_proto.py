"""Reads a pprof file with Python's protobuf, by google/pprof's profile.proto put down as a descriptor."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_F = descriptor_pb2.FieldDescriptorProto
_MESSAGES: dict[str, tuple[tuple[str, int, Any, bool], ...]] = {
    "ValueType": (("type", 1, _F.TYPE_INT64, False), ("unit", 2, _F.TYPE_INT64, False)),
    "Label": (("key", 1, _F.TYPE_INT64, False), ("str", 2, _F.TYPE_INT64, False), ("num", 3, _F.TYPE_INT64, False),
              ("num_unit", 4, _F.TYPE_INT64, False)),
    "Line": (("function_id", 1, _F.TYPE_UINT64, False), ("line", 2, _F.TYPE_INT64, False)),
    "Sample": (("location_id", 1, _F.TYPE_UINT64, True), ("value", 2, _F.TYPE_INT64, True),
               ("label", 3, "Label", True)),
    "Mapping": (("id", 1, _F.TYPE_UINT64, False), ("memory_start", 2, _F.TYPE_UINT64, False),
                ("memory_limit", 3, _F.TYPE_UINT64, False), ("file_offset", 4, _F.TYPE_UINT64, False),
                ("filename", 5, _F.TYPE_INT64, False), ("build_id", 6, _F.TYPE_INT64, False),
                ("has_functions", 7, _F.TYPE_BOOL, False)),
    "Location": (("id", 1, _F.TYPE_UINT64, False), ("mapping_id", 2, _F.TYPE_UINT64, False),
                 ("address", 3, _F.TYPE_UINT64, False), ("line", 4, "Line", True)),
    "Function": (("id", 1, _F.TYPE_UINT64, False), ("name", 2, _F.TYPE_INT64, False),
                 ("system_name", 3, _F.TYPE_INT64, False), ("filename", 4, _F.TYPE_INT64, False),
                 ("start_line", 5, _F.TYPE_INT64, False)),
    "Profile": (("sample_type", 1, "ValueType", True), ("sample", 2, "Sample", True), ("mapping", 3, "Mapping", True),
                ("location", 4, "Location", True), ("function", 5, "Function", True),
                ("string_table", 6, _F.TYPE_STRING, True), ("time_nanos", 9, _F.TYPE_INT64, False),
                ("duration_nanos", 10, _F.TYPE_INT64, False), ("period_type", 11, "ValueType", False),
                ("period", 12, _F.TYPE_INT64, False), ("comment", 13, _F.TYPE_INT64, True),
                ("default_sample_type", 14, _F.TYPE_INT64, False)),
}  # fmt: skip


def read(path: Path) -> Any:
    """The Profile message. Raises DecodeError for what is none."""
    file = descriptor_pb2.FileDescriptorProto(name="profile.proto", package="pprof", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind, repeated in fields:
            field = message.field.add(name=field_name, number=number)
            field.label = _F.LABEL_REPEATED if repeated else _F.LABEL_OPTIONAL
            if isinstance(kind, str):
                field.type, field.type_name = _F.TYPE_MESSAGE, f".pprof.{kind}"
            else:
                field.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    profile = message_factory.GetMessageClass(pool.FindMessageTypeByName("pprof.Profile"))()
    profile.ParseFromString(gzip.decompress(path.read_bytes()))
    return profile
