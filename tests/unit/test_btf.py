from __future__ import annotations

from pathlib import Path

import pytest

from ebtop.errors import EbtopError
from ebtop.kernel.btf import Btf, Member
from tests.unit.made_up_btf import Field, MadeUpBtf


@pytest.fixture
def made_up() -> MadeUpBtf:
    return MadeUpBtf()


def member_of(made_up: MadeUpBtf, struct_name: str, member: str) -> Member | None:
    btf = Btf(made_up.blob())
    return btf.member(btf.structs([struct_name])[struct_name], member)


def test_members_by_bits(made_up: MadeUpBtf) -> None:
    u8, u32 = made_up.integer("u8", 1), made_up.integer("u32", 4)
    made_up.struct("sock", 64, Field("a", u32, 0), Field("state", u8, 8 * 18), Field("next", made_up.pointer(), 192))
    assert member_of(made_up, "sock", "state") == Member(144, 0, 1)
    assert member_of(made_up, "sock", "next") == Member(192, 0, 8)
    assert member_of(made_up, "sock", "absent") is None


def test_bit_fields_share_a_struct_with_plain_members(made_up: MadeUpBtf) -> None:
    u8, u16 = made_up.integer("u8", 1), made_up.integer("u16", 2)
    made_up.struct(
        "icsk", 1024, Field("plain", u16, 8000), Field("ca_state", u8, 8016, 5), Field("ca_setsockopt", u8, 8021, 1)
    )
    assert member_of(made_up, "icsk", "plain") == Member(8000, 0, 2)
    assert member_of(made_up, "icsk", "ca_state") == Member(8016, 5, 1)
    assert member_of(made_up, "icsk", "ca_setsockopt") == Member(8021, 1, 1)


def test_members_of_anonymous_structs_and_unions_count_from_the_outermost(made_up: MadeUpBtf) -> None:
    u32 = made_up.integer("u32", 4)
    pair = made_up.struct("", 8, Field("daddr", u32, 0), Field("rcv_saddr", u32, 32))
    either = made_up.union("", 8, Field("addrpair", made_up.integer("u64", 8), 0), Field("", pair, 0))
    made_up.struct("sock_common", 64, Field("first", u32, 0), Field("", either, 128))
    assert member_of(made_up, "sock_common", "rcv_saddr") == Member(160, 0, 4)
    assert member_of(made_up, "sock_common", "addrpair") == Member(128, 0, 8)


def test_a_named_member_hides_one_of_the_same_name_further_inside(made_up: MadeUpBtf) -> None:
    u32 = made_up.integer("u32", 4)
    inner = made_up.struct("", 8, Field("flags", u32, 32))
    made_up.struct("outer", 64, Field("", inner, 0), Field("flags", u32, 256))
    assert member_of(made_up, "outer", "flags") == Member(256, 0, 4)


def test_members_of_named_structs_inside_are_not_members(made_up: MadeUpBtf) -> None:
    inner = made_up.struct("inner", 4, Field("deep", made_up.integer("u32", 4), 0))
    made_up.struct("outer", 64, Field("in", inner, 0))
    assert member_of(made_up, "outer", "deep") is None


def test_sizes_through_arrays_typedefs_and_qualifiers(made_up: MadeUpBtf) -> None:
    char = made_up.integer("char", 1)
    text = made_up.typedef("comm_t", made_up.const(made_up.array(char, 16)))
    table = made_up.array(made_up.array(made_up.pointer(), 3), 5)
    made_up.struct("task_struct", 999, Field("comm", text, 0), Field("table", table, 128))
    assert member_of(made_up, "task_struct", "comm") == Member(0, 0, 16)
    assert member_of(made_up, "task_struct", "table") == Member(128, 0, 120)


def test_a_struct_is_found_through_its_typedef_and_not_through_its_forward_declaration(made_up: MadeUpBtf) -> None:
    made_up.forward("kernfs_node")
    node = made_up.struct("kernfs_node", 128, Field("id", made_up.integer("u64", 8), 96))
    made_up.typedef("node_t", made_up.const(node))
    assert member_of(made_up, "kernfs_node", "id") == Member(96, 0, 8)
    assert member_of(made_up, "node_t", "id") == Member(96, 0, 8)


def test_names_match_whole(made_up: MadeUpBtf) -> None:
    u32 = made_up.integer("u32", 4)
    made_up.struct("request_sock", 8, Field("x", u32, 32))
    made_up.struct("sock_common", 8, Field("x", u32, 0))
    assert Btf(made_up.blob()).structs(["sock", "request", "common"]) == {}


def test_enums(made_up: MadeUpBtf) -> None:
    made_up.enum("flags", {"A": 0, "B": 7})
    made_up.enum("signed", {"MINUS": -1, "PLUS": 1})
    made_up.enum64("wide", {"BIG": 5 << 40 | 3, "SMALL": 2})
    made_up.enum64("wide_signed", {"LOW": -(1 << 40)})
    btf = Btf(made_up.blob())
    assert btf.enum_values("flags") == {"A": 0, "B": 7}
    assert btf.enum_values("signed") == {"MINUS": -1, "PLUS": 1}
    assert btf.enum_values("wide") == {"BIG": 5 << 40 | 3, "SMALL": 2}
    assert btf.enum_values("wide_signed") == {"LOW": -(1 << 40)}
    assert btf.enum_values("flag") is None


def test_enums_of_one_name_are_taken_together(made_up: MadeUpBtf) -> None:
    made_up.enum("cgroup_subsys_id", {"cpuset_cgrp_id": 0})
    made_up.enum("cgroup_subsys_id", {"memory_cgrp_id": 4})
    assert Btf(made_up.blob()).enum_values("cgroup_subsys_id") == {"cpuset_cgrp_id": 0, "memory_cgrp_id": 4}


def test_tracepoint_arguments_leave_out_the_registration_data(made_up: MadeUpBtf) -> None:
    made_up.tracepoint("tcp_retransmit_skb", 3)
    made_up.tracepoint("without", 0)
    made_up.typedef("btf_trace_not_a_function", made_up.pointer(made_up.integer("int", 4)))
    btf = Btf(made_up.blob())
    assert btf.raw_tracepoint_args("tcp_retransmit_skb") == 3
    assert btf.raw_tracepoint_args("without") == 0
    assert btf.raw_tracepoint_args("not_a_function") is None
    assert btf.raw_tracepoint_args("tcp_retransmit") is None


def test_functions_by_name(made_up: MadeUpBtf) -> None:
    made_up.function("bpf_iter_udp", made_up.function_type(2))
    wanted = made_up.function("bpf_iter_tcp", made_up.function_type(2))
    made_up.integer("bpf_iter_int", 4)
    btf = Btf(made_up.blob())
    assert btf.function("bpf_iter_tcp") == wanted
    assert btf.function("bpf_iter_int") is None


def test_kinds_nobody_asks_for_are_stepped_over(made_up: MadeUpBtf) -> None:
    made_up.one_of_each_other_kind()
    made_up.struct("last", 8, Field("x", made_up.integer("u32", 4), 32))
    assert member_of(made_up, "last", "x") == Member(32, 0, 4)


def blob_with_a_struct() -> bytes:
    made_up = MadeUpBtf()
    made_up.struct("sock", 8, Field("x", made_up.integer("u32", 4), 32))
    return made_up.blob()


@pytest.mark.parametrize(
    "broken",
    {
        "empty": b"",
        "shorter than its header": blob_with_a_struct()[:20],
        "cut in the types": blob_with_a_struct()[:40],
        "cut in the strings": blob_with_a_struct()[:-3],
        "other byte order": b"\xeb\x9f" + blob_with_a_struct()[2:],
        "not BTF": b"\x7fELF" + b"\0" * 100,
    }.values(),
    ids=lambda blob: f"{len(blob)} bytes",
)
def test_what_is_not_btf_is_refused_in_one_line(broken: bytes) -> None:
    with pytest.raises(EbtopError, match=r"^BTF can't be read: [^\n]+$"):
        Btf(broken)


def test_a_last_type_without_its_members_is_refused() -> None:
    blob = bytearray(blob_with_a_struct())
    blob[24 + 16 + 4] = 9  # the struct's number of members
    with pytest.raises(EbtopError, match="its last type is cut short"):
        Btf(bytes(blob))


def test_a_kernel_without_btf(tmp_path: Path) -> None:
    path = tmp_path / "vmlinux"
    with pytest.raises(EbtopError, match=rf"^this kernel's types can't be read: {path}: No such.*CONFIG_DEBUG"):
        Btf.read(str(path))
    path.write_bytes(blob_with_a_struct())
    assert Btf.read(str(path)).structs(["sock"])
