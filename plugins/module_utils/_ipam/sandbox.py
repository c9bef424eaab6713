# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Runs a program that may have been taken over in a network namespace, apart from the host.

It gets a root of its own: the host's programs, libraries and /etc, which it can only read as anybody could, and empty
places to write to, which end with it; neither /proc/sys nor /sys, no devices but those that are none, no home
directories. It has a user ID that nobody else has, NET_RAW and NET_BIND_SERVICE in its network namespace, no other
right and no way to get one, and sees its own processes alone. A filter keeps it from what it needs no system calls for:
namespaces, mounts, other processes, kernel modules, BPF, and sockets of families that no network namespace contains.
What it does reach is that network: the container's, with the abstract Unix sockets there.

Runs as a process of its own, which needs nothing but Python. What it shall do stands on its input, as JSON. When
something is written to the path ``said``, that is its output, and the program is over. Nothing outlives this process:
the program ends with it, and it ends with the one that started it.
"""
from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import resource
import select
import signal
import struct
import sys
import typing as t

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
CLONE_NEW_ANY = 0x7E020000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
MOUNT_SETATTR = 442
PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 8, 22, 24
PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, SECCOMP_MODE_FILTER = 38, 47, 2, 2
CAPABILITY_VERSION = 0x20080522
# net_bind_service, net_raw. With these udhcpc, dhclient and dhcpcd can all ask, and none of them has to be root.
KEPT = (10, 13)
# Each process that runs this has user IDs of its own, which the systems that hand out ranges of them leave alone.
FIRST_UID, NOBODY = 0x70000000, 65534
SHOWN = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc", "nix", "gnu")
OWN = ("run", "tmp", "var/lib", "var/db", "var/cache", "var/log", "var/tmp")
DEVICES = ("null", "zero", "full", "random", "urandom")
ROOT, PROGRAM = "/run", "/run/pipework/program"  # where the new root is made; the program's folder in it
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
LIMITS = {
    resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: 1 << 20, resource.RLIMIT_NOFILE: 64, resource.RLIMIT_AS: 256 << 20,
    resource.RLIMIT_NPROC: 16, resource.RLIMIT_MEMLOCK: 64 << 10, resource.RLIMIT_MSGQUEUE: 0, resource.RLIMIT_CPU: 60,
}
READ_BYTES, SAID_MAX = 1 << 16, 1 << 20
CANNOT = 126  # the exit status where the program was not started

# System calls by machine: the number that the filter knows it by, and those that are refused. Many of them need rights
# that the program has not; then this is a second wall. On other machines there is no filter, and the first one stands.
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
CLONE = {"x86_64": 56, "aarch64": 220}
SOCKET = {"x86_64": (41, 53), "aarch64": (198, 199)}  # and socketpair
CLONE3, X32 = 435, 0x40000000
REFUSED = {
    "x86_64": {
        "ptrace": 101, "syslog": 103, "uselib": 134, "personality": 135, "vhangup": 153, "modify_ldt": 154,
        "pivot_root": 155, "_sysctl": 156, "adjtimex": 159, "chroot": 161, "acct": 163, "settimeofday": 164,
        "mount": 165, "umount2": 166, "swapon": 167, "swapoff": 168, "reboot": 169, "sethostname": 170,
        "setdomainname": 171, "iopl": 172, "ioperm": 173, "init_module": 175, "delete_module": 176, "quotactl": 179,
        "nfsservctl": 180, "lookup_dcookie": 212, "clock_settime": 227, "kexec_load": 246, "add_key": 248,
        "request_key": 249, "keyctl": 250, "migrate_pages": 256, "unshare": 272, "vmsplice": 278, "move_pages": 279,
        "perf_event_open": 298, "fanotify_init": 300, "name_to_handle_at": 303, "open_by_handle_at": 304,
        "clock_adjtime": 305, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312,
        "finit_module": 313, "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323,
    },
    "aarch64": {
        "lookup_dcookie": 18, "umount2": 39, "mount": 40, "pivot_root": 41, "nfsservctl": 42, "chroot": 51,
        "vhangup": 58, "quotactl": 60, "vmsplice": 75, "acct": 89, "personality": 92, "unshare": 97, "kexec_load": 104,
        "init_module": 105, "delete_module": 106, "clock_settime": 112, "syslog": 116, "ptrace": 117, "reboot": 142,
        "sethostname": 161, "setdomainname": 162, "settimeofday": 170, "adjtimex": 171, "add_key": 217,
        "request_key": 218, "keyctl": 219, "swapon": 224, "swapoff": 225, "migrate_pages": 238, "move_pages": 239,
        "perf_event_open": 241, "fanotify_init": 262, "name_to_handle_at": 264, "open_by_handle_at": 265,
        "clock_adjtime": 266, "setns": 268, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272,
        "finit_module": 273, "bpf": 280, "userfaultfd": 282, "kexec_file_load": 294,
    },
}
REFUSED_ANYWHERE = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "pidfd_getfd": 438, "process_madvise": 440,
    "mount_setattr": 442, "quotactl_fd": 443, "open_tree_attr": 467,
}
FAMILIES = (1, 2, 10, 16, 17)  # unix, inet, inet6, netlink, packet; vsock, for one, would reach beyond the namespace
BPF_LD, BPF_JEQ, BPF_JGE, BPF_JSET, BPF_RET = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
AT_NR, AT_ARCH, AT_ARGUMENT = 0, 4, 16  # in struct seccomp_data

_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *args: t.Any) -> int:
    """A function of the C library, which succeeds or raises OSError."""
    result = int(getattr(_libc, name)(*args))
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """mount(2)."""
    words = [each.encode() for each in (source, target, kind)]
    call("mount", *words, ctypes.c_ulong(flags), data.encode())


def prctl(option: int, *args: int) -> None:
    call("prctl", option, *(ctypes.c_ulong(each) for each in (*args, 0, 0, 0, 0)[:4]))


def end_with_parent() -> None:
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


# -- what it sees

def bind(source: str, target: str, recursive: bool = False, flags: int = MS_NODEV) -> None:
    """Something of the host's, to be read. MS_NODEV is left out where it is a device."""
    mount(source, target, "none", MS_BIND | (MS_REC if recursive else 0))
    flags |= MS_RDONLY | MS_NOSUID
    try:
        attributes = struct.pack("=4Q", flags, 0, 0, 0)  # the flags of both calls have the same values
        call("syscall", MOUNT_SETATTR, AT_FDCWD, target.encode(), AT_RECURSIVE, attributes, ctypes.c_size_t(32))
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        for path in mounts_at(target):  # Linux 5.10 and 5.11
            mount("none", path, "none", MS_REMOUNT | MS_BIND | flags)


def mounts_at(target: str) -> list[str]:
    """The mount points at and under a path."""
    with open("/proc/self/mountinfo", "rb") as handle:
        found = [line.split(b" ")[4].decode("unicode_escape").encode("latin-1") for line in handle]
    paths = [os.fsdecode(path) for path in found]
    return [path for path in paths if path == target or path.startswith(target + "/")]


def settle(spec: dict[str, t.Any], program: str, uid: int) -> None:
    """A root of its own. A file that lies among the host's is mounted over the one that is there."""
    mount("none", "/", "none", MS_REC | MS_PRIVATE)
    shown = {each: os.readlink(f"/{each}") if os.path.islink(f"/{each}") else "" for each in SHOWN}
    mount("tmpfs", ROOT, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=4m,nr_inodes=1k")
    for name, link in shown.items():
        if link:
            os.symlink(link, f"{ROOT}/{name}")
        elif os.path.isdir(f"/{name}"):
            os.mkdir(f"{ROOT}/{name}")
            bind(f"/{name}", f"{ROOT}/{name}", recursive=True)
    for name in ("dev", "proc", "root", "home", "sys", "var", *OWN):
        os.mkdir(f"{ROOT}/{name}")
    os.symlink("/run", f"{ROOT}/var/run")
    for name in DEVICES:
        place(f"{ROOT}/dev/{name}", "", 0o644)
        bind(f"/dev/{name}", f"{ROOT}/dev/{name}", flags=MS_NOEXEC)
    # By this path no profile of AppArmor knows it: such a profile would keep its hook from running, since with
    # no_new_privs a program cannot be given another one.
    place(ROOT + path_of(program), "", 0o755)
    bind(program, ROOT + path_of(program))
    mount("proc", f"{ROOT}/proc", "proc", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "subset=pid,hidepid=2")
    os.chdir(ROOT)
    call("pivot_root", b".", b".")
    call("umount2", b".", MNT_DETACH)
    os.chdir("/")
    for number, (path, (text, mode)) in enumerate(spec["files"].items()):
        own = path[1:].startswith(OWN)
        where = path if own else f"/run/pipework/{number}"
        place(where, text, mode)
        if not own:
            bind(where, path)
    for name in OWN:
        for folder, _folders, _files in os.walk(f"/{name}"):
            os.chown(folder, uid, uid)
    os.mkfifo(spec["said"], 0o600)
    os.chown(spec["said"], uid, uid)


def path_of(program: str) -> str:
    """Where the program lies in that root."""
    return f"{PROGRAM}/{os.path.basename(program)}"


def place(path: str, text: str, mode: int) -> None:
    """A file of that text."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    with open(path, "w", encoding="utf-8") as handle:
        handle.write(text)
    os.chmod(path, mode)


# -- what it may do

def uid_of(number: int) -> int:
    """A user ID for the process of that number; in a user namespace that has no such IDs another one."""
    with open("/proc/self/uid_map", encoding="ascii") as handle:
        ranges = [[int(word) for word in line.split()] for line in handle]
    for uid in (FIRST_UID + number, NOBODY):
        if any(first <= uid < first + count for first, _outside, count in ranges):
            return uid
    return os.getuid()


def restrict(uid: int) -> None:
    """Gives up all rights but those in KEPT, for good."""
    for kind, most in LIMITS.items():
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))
    for number in set(range(last_capability() + 1)) - set(KEPT):
        prctl(PR_CAPBSET_DROP, number)
    prctl(PR_SET_KEEPCAPS, 1)
    with contextlib.suppress(PermissionError):  # where setgroups is denied, in a user namespace
        os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    kept = sum(1 << number for number in KEPT)
    header, sets = struct.pack("=Ii", CAPABILITY_VERSION, 0), struct.pack("=6I", kept, kept, kept, 0, 0, 0)
    call("capset", header, sets)
    for number in KEPT:
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    filter_calls()


def last_capability() -> int:
    """The highest number of a capability that the kernel knows."""
    number = 0
    while _libc.prctl(23, ctypes.c_ulong(number + 1), 0, 0, 0) >= 0:  # PR_CAPBSET_READ
        number += 1
    return number


def filter_calls() -> None:
    """A filter of system calls, where the kernel has such filters and this machine's numbers are known here."""
    machine = os.uname().machine
    if machine not in AUDIT_ARCH or struct.calcsize("P") != 8:
        return
    code = b"".join(struct.pack("=HBBI", *each) for each in instructions(machine))
    held = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(held))
    buffer = ctypes.create_string_buffer(program, len(program))
    try:
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(buffer))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def instructions(machine: str) -> t.Iterator[tuple[int, int, int, int]]:
    """The filter: code, jumps where a comparison holds and where it does not, and the value."""
    def refuse(number: int) -> tuple[int, int, int, int]:
        return BPF_RET, 0, 0, ERRNO | number

    yield BPF_LD, 0, 0, AT_ARCH
    yield BPF_JEQ, 1, 0, AUDIT_ARCH[machine]
    yield refuse(errno.EPERM)  # calls of another architecture, which have other numbers
    yield BPF_LD, 0, 0, AT_NR
    yield BPF_JGE, 0, 1, X32
    yield refuse(errno.EPERM)
    for number in (*REFUSED[machine].values(), *REFUSED_ANYWHERE.values()):
        yield BPF_JEQ, 0, 1, number
        yield refuse(errno.EPERM)
    yield BPF_JEQ, 0, 1, CLONE3
    yield refuse(errno.ENOSYS)  # its flags cannot be looked at; C libraries then take clone
    yield BPF_JEQ, 0, 4, CLONE[machine]
    yield BPF_LD, 0, 0, AT_ARGUMENT
    yield BPF_JSET, 0, 1, CLONE_NEW_ANY
    yield refuse(errno.EPERM)
    yield BPF_RET, 0, 0, ALLOW
    for number in SOCKET[machine]:
        yield BPF_JEQ, 0, len(FAMILIES) + 3, number
        yield BPF_LD, 0, 0, AT_ARGUMENT
        for left, family in zip(range(len(FAMILIES), 0, -1), FAMILIES):
            yield BPF_JEQ, left, 0, family
        yield refuse(errno.EAFNOSUPPORT)
        yield BPF_RET, 0, 0, ALLOW
    yield BPF_RET, 0, 0, ALLOW


def become(path: str, argv: list[str], uid: int) -> None:
    """The program."""
    try:
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(2, 1)
        restrict(uid)
        os.execve(path, argv, ENVIRONMENT)
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror or error}\n".encode())
    finally:
        os._exit(127)


# -- its course

def lead(spec: dict[str, t.Any], uid: int) -> int:
    """The first process of a PID namespace: all others there end with it."""
    end_with_parent()
    program = os.path.realpath(spec["argv"][0])
    settle(spec, program, uid)
    fifo = os.open(spec["said"], os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        become(path_of(program), spec["argv"], uid)
    ended, data = os.pidfd_open(pid), b""
    while len(data) < SAID_MAX:
        ready = select.select([fifo, ended], [], [])[0]
        piece = os.read(fifo, READ_BYTES) if fifo in ready else b""
        data += piece
        if not piece:  # all has been written, or the program is over
            break
    with open(1, "wb", closefd=False) as output:
        output.write(data)
    return 0 if data else 1


def main() -> int:
    spec = json.load(sys.stdin)
    end_with_parent()
    if os.getppid() != spec["parent"]:
        return 1
    uid = uid_of(os.getpid())
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as handle:
        handle.write("1000")  # the first to end where memory runs short
    call("setns", spec["netns"], CLONE_NEWNET)
    os.close(spec["netns"])
    call("unshare", CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC)
    pid = os.fork()
    if pid == 0:
        os._exit(guarded(lead, spec, uid))
    return os.WEXITSTATUS(os.waitpid(pid, 0)[1])


def guarded(work: t.Callable[..., int], *args: t.Any) -> int:
    """The exit status that work has, or CANNOT with the reason on stderr."""
    try:
        return work(*args)
    except OSError as error:
        os.write(2, f"{error.strerror or error}\n".encode())
        return CANNOT


if __name__ == "__main__":
    raise SystemExit(guarded(main))
