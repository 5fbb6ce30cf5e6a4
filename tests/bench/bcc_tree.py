"""A header tree that bcc's own tools compile against: ebtop's, with the few kernel structs that they read.

bcc's tools name members in C, so unlike ebtop's programs they need the running kernel's offsets in the headers.
"""

from __future__ import annotations

from pathlib import Path

from ebtop.kernel import header_tree
from ebtop.kernel.btf import Btf

_MEMBERS = {
    "task_struct": {
        "pid": "int {}",
        "tgid": "int {}",
        "exit_code": "int {}",
        "start_time": "u64 {}",
        "real_parent": "struct task_struct *{}",
    },
    "tcp_sock": {"bytes_acked": "u64 {}", "bytes_received": "u64 {}"},
    "sock": {},
}

_INCLUDE = "#include <kernel_structs.h>\n"
_CONSTANTS = """
#define TASK_COMM_LEN 16
#define AF_INET 2
#define AF_INET6 10
#define IPPROTO_TCP 6
enum { TCP_ESTABLISHED = 1, TCP_SYN_SENT, TCP_SYN_RECV, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_TIME_WAIT, TCP_CLOSE,
       TCP_CLOSE_WAIT, TCP_LAST_ACK, TCP_LISTEN, TCP_CLOSING, TCP_NEW_SYN_RECV };
"""


def write(root: Path) -> None:
    """Write the tree below `root`, for the variable BCC_KERNEL_SOURCE."""
    structs = f"#pragma once\n#include <linux/types.h>\n{_CONSTANTS}{_structs(Btf.read())}"
    extra = {"kernel_structs.h": structs, "uapi/linux/if_ether.h": ""}
    included = ("linux/sched.h", "net/sock.h", "linux/tcp.h")
    header_tree.write(str(root), extra | dict.fromkeys(included, _INCLUDE))


def _structs(btf: Btf) -> str:
    types = btf.structs(_MEMBERS)
    text = ""
    for struct, members in _MEMBERS.items():
        body = ""
        for name, declaration in members.items():
            member = btf.member(types[struct], name)
            if member is None:
                raise RuntimeError(f"this kernel has no {struct}.{name}")
            declared = declaration.format(name)
            body += f" struct {{ u8 before_{name}[{member.bit_offset // 8}]; {declared}; }} __attribute__((packed));\n"
        size = btf.size(types[struct])
        text += f"struct {struct} {{ union {{ u8 whole[{size}];\n{body}}}; }} __attribute__((packed));\n"
    return text
