"""The few headers bcc wants from a kernel source tree, made up: no kernel headers are needed anywhere.

The tree holds no structure of any kernel (programs reach those through relocations), only the types, the page
size and the empty files that bcc's own headers include.
"""

from __future__ import annotations

import os
import platform
import resource

_ARCH_DIRECTORIES = {"x86_64": "x86", "aarch64": "arm64", "ppc64le": "powerpc", "s390x": "s390", "riscv64": "riscv"}

_TYPES = """#pragma once
typedef signed char __s8, s8;
typedef unsigned char __u8, u8;
typedef short __s16, s16;
typedef unsigned short __u16, u16, __be16, __le16, __sum16;
typedef int __s32, s32;
typedef unsigned int __u32, u32, __be32, __le32, __wsum;
typedef long long __s64, s64;
typedef unsigned long long __u64, u64, __be64, __le64;
typedef unsigned long uintptr_t, size_t;
typedef long ssize_t;
typedef _Bool bool;
typedef int pid_t;
typedef unsigned int uid_t, gid_t, dev_t;
#define __aligned_u64 __u64 __attribute__((aligned(8)))
#define NULL ((void *)0)
#define true 1
#define false 0
"""

_KCONFIG = """#pragma once
#define CONFIG_BPF_SYSCALL 1
#define CONFIG_64BIT 1
#define __user
#define __kernel
#define __bitwise
#define __force
#define __percpu
#define __rcu
#include <linux/types.h>
"""

# bcc only offers what this kernel version has; ebtop itself asks for nothing newer at compile time.
_VERSION = """#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + ((c) > 255 ? 255 : (c)))
#define LINUX_VERSION_CODE KERNEL_VERSION(5, 10, 0)
"""

_LOG2 = """#pragma once
#define roundup_pow_of_two(n) (1ULL << (64 - __builtin_clzll((unsigned long long)(n) - 1)))
"""

_EMPTY = (
    "linux/bpf_common.h",
    "linux/sched.h",
    "net/sock.h",
    "uapi/linux/bpf.h",
    "uapi/linux/bpf_perf_event.h",
    "uapi/linux/if_packet.h",
    "uapi/linux/ptrace.h",
    "uapi/linux/types.h",
)


def write(root: str, extra: dict[str, str] | None = None) -> None:
    """Write the tree below `root`. `extra` maps further paths below include/ to their text."""
    machine = platform.machine()
    arch = _ARCH_DIRECTORIES.get(machine, machine)
    files = {
        "include/linux/kconfig.h": _KCONFIG,
        "include/linux/types.h": _TYPES,
        "include/linux/version.h": _VERSION,
        "include/linux/log2.h": _LOG2,
        f"arch/{arch}/include/asm/page.h": f"#define PAGE_SIZE {resource.getpagesize()}UL\n",
        **{f"include/{path}": "" for path in _EMPTY},
        **{f"include/{path}": text for path, text in (extra or {}).items()},
    }
    for path, text in files.items():
        target = os.path.join(root, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "w", encoding="ascii") as file:
            file.write(text)
