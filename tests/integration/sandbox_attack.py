# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What somebody would try who has taken over a DHCP client. Runs in its place.

An attempt that comes through returns; one that is stopped raises OSError, or returns the words in STOPPED.
"""

import ctypes
import errno
import fcntl
import glob
import json
import mmap
import os
import resource
import signal
import socket
import stat
import struct
import sys

VICTIM, SAID, BAIT = 0, "", ""  # exchanged by the test
libc = ctypes.CDLL(None, use_errno=True)
X86 = os.uname().machine == "x86_64"
STOPPED = "stopped"
# What a wall says; anything else would be an attempt that is wrong in itself.
REFUSALS = (
    errno.EPERM, errno.EACCES, errno.EROFS, errno.ENOENT, errno.ESRCH, errno.EXDEV, errno.EAFNOSUPPORT, errno.ENOSYS,
)  # fmt: skip


def call(name, *args):
    result = getattr(libc, name)(*args)
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def syscall(x86, generic, *args):
    return call("syscall", x86 if X86 else generic, *[ctypes.c_ulong(a) if isinstance(a, int) else a for a in args])


def mount(source, target, kind, flags):
    return call("mount", source, target, kind, ctypes.c_ulong(flags), None)


def write(path):
    return lambda: os.close(os.open(path, os.O_WRONLY))


def create(folder):
    return lambda: os.close(os.open(folder + "/pipework-attack", os.O_WRONLY | os.O_CREAT, 0o600))


def read(path):
    def attempt():
        with open(path, "rb") as handle:
            handle.read(1)

    return attempt


def node(kind, major, minor):
    def attempt():
        path = f"/tmp/node{major}-{minor}"
        os.mknod(path, kind | 0o600, os.makedev(major, minor))
        os.close(os.open(path, os.O_RDONLY))

    return attempt


def family(number, kind=socket.SOCK_RAW):
    return lambda: socket.socket(number, kind).close()


def connect(path):
    def attempt():
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)

    return attempt


def netlink(kind, body):
    """A request to rtnetlink that the kernel has to acknowledge."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
        sock.settimeout(2)
        sock.send(struct.pack("=IHHII", 16 + len(body), kind, 1 | 4 | 0x600, 1, 0) + body)
        answer = sock.recv(4096)
    number = -struct.unpack_from("=i", answer, 16)[0]
    if number:
        raise OSError(number, os.strerror(number))


def lo_down():
    netlink(16, struct.pack("=BxHiII", 0, 0, socket.if_nametoindex("lo"), 0, 1))


def new_address():
    address = struct.pack("=HH4s", 8, 1, bytes([10, 66, 0, 1])) + struct.pack("=HH4s", 8, 2, bytes([10, 66, 0, 1]))
    netlink(20, struct.pack("=BBBBI", 2, 24, 0, 0, socket.if_nametoindex("eth1")) + address)


def clone_user():
    pid = syscall(56, 220, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)


def clone3_user():
    pid = syscall(435, 435, struct.pack("=11Q", 0x10000000, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, 0), 88)
    if pid == 0:
        os._exit(0)


def trace_first():
    syscall(101, 117, 16, 1, 0, 0)


def read_memory():
    there = struct.pack("PN", ctypes.addressof(ctypes.create_string_buffer(8)), 8)
    syscall(310, 270, 1, there, 1, there, 1, 0)


def suid_program():
    """Whether a program with the setuid bit gets what it asks for."""
    for name in ("su", "mount", "umount", "passwd", "newgrp", "chsh", "sudo"):
        path = "/usr/bin/" + name
        if os.path.exists(path) and os.stat(path).st_mode & stat.S_ISUID:
            if os.statvfs(path).f_flag & os.ST_NOSUID:
                return STOPPED
            return "nosuid is not set"
    return STOPPED


def of_other_architecture():
    """A call by the numbers of 32 bits: umask, which succeeds wherever it is let through."""
    code = bytes.fromhex("b83c000000 31db cd80 c3".replace(" ", ""))
    with mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC) as page:
        page.write(code)
        function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
        result = function()
        del function
        return STOPPED if result < 0 else f"umask {result}"


def anybodys_processes():
    own = set(os.listdir("/proc"))
    others = [pid for pid in own if pid.isdigit() and int(pid) not in (1, os.getpid())]
    return others or STOPPED


def kill_all():
    """Signal 0: to all that could be ended."""
    try:
        os.kill(-1, 0)
    except ProcessLookupError:
        return STOPPED
    return STOPPED if anybodys_processes() == STOPPED else "others"


def find_writable():
    """Files and folders outside of its own places that it could write to."""
    found = []
    for top in ("/etc", "/usr/local", "/usr/bin", "/usr/sbin", "/usr/lib/systemd", "/dev", "/bin"):
        for folder, _folders, files in os.walk(top):
            for path in [folder] + [os.path.join(folder, name) for name in files]:
                if os.path.islink(path) or (top == "/dev" and path != folder):
                    continue
                if os.access(path, os.W_OK):
                    found.append(path)
    return found[:5] or STOPPED


def sysfs_writable():
    return list(glob.glob("/sys/*") + glob.glob("/sys/kernel/*")) or STOPPED


def devices():
    """Devices that are more than a source or a sink of bytes."""
    return sorted(set(os.listdir("/dev")) - {"null", "zero", "full", "random", "urandom"}) or STOPPED


def block_devices():
    for kind in ("vda", "sda", "nvme0n1", "loop0", "mem", "kmsg", "port", "net/tun", "fuse", "kvm", "tty", "ptmx"):
        if os.path.exists("/dev/" + kind):
            return kind
    return STOPPED


def link_shadow():
    os.link("/etc/shadow", "/tmp/shadow")


def back_to_the_old_root():
    """The way out of a chroot."""
    os.mkdir("/tmp/out")
    os.chroot("/tmp/out")
    for _each in range(64):
        os.chdir("..")
    os.chroot(".")


def into_first():
    with open("/proc/1/ns/mnt", "rb") as handle:
        syscall(308, 268, handle.fileno(), 0)


def root_of_first():
    os.listdir("/proc/1/root")


A = {
    # kernel parameters and what else stands in /proc and /sys
    **{"write " + path: write(path) for path in (
        "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hostname",
        "/proc/sys/net/ipv4/ip_forward", "/proc/sysrq-trigger", "/proc/self/oom_score_adj", "/proc/self/uid_map",
        "/proc/1/oom_score_adj", "/proc/1/mem", "/sys/kernel/uevent_helper", "/sys/power/state", "/dev/kmsg",
        "/dev/mem",
        "/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/release_agent", "/proc/irq/default_smp_affinity",
    )},
    **{"read " + path: read(path) for path in (
        "/proc/kcore", "/proc/kallsyms", "/proc/kmsg", "/proc/1/environ", "/proc/1/maps", "/proc/1/cmdline",
        "/etc/shadow",
        "/etc/gshadow", "/root/" + BAIT, "/home/" + BAIT, "/srv/" + BAIT, "/mnt/" + BAIT, "/run/" + BAIT,
        "/var/lib/" + BAIT, "/var/tmp/" + BAIT, "/tmp/" + BAIT, "/var/run/" + BAIT, "/proc/1/root/run/" + BAIT,
        "/run/pipework/secret", "/dev/vda", "/dev/sda",
    )},
    # files of the host
    **{"create in " + path: create(path) for path in (
        "/", "/root", "/home", "/etc", "/usr", "/usr/bin", "/usr/local/bin", "/usr/sbin", "/bin", "/lib", "/sys",
        "/proc",
        "/boot", "/opt", "/srv", "/mnt", "/dev", "/dev/shm", "/etc/cron.d", "/etc/systemd/system", "/run/netns",
        "/run/systemd/system", "/var/spool",
    )},
    "write a bait in /usr/local/bin": write("/usr/local/bin/" + BAIT),
    "write its own program": write(sys.argv[0] if os.path.exists(sys.argv[0]) else "/etc/passwd"),
    "chmod /etc/passwd": lambda: os.chmod("/etc/passwd", 0o666),
    "chown a bait": lambda: os.chown("/usr/local/bin/" + BAIT, 0, 0),
    "chown its own file": lambda: (open("/tmp/own", "w").close(), os.chown("/tmp/own", 0, 0)),
    "unlink in /usr/local/bin": lambda: os.unlink("/usr/local/bin/" + BAIT),
    "rename /etc/passwd": lambda: os.rename("/etc/passwd", "/etc/passwd-"),
    "hard link to /etc/shadow": link_shadow,
    "what is writable": find_writable,
    "what there is of /sys": sysfs_writable,
    "what there is in /dev": devices,
    "block devices": block_devices,
    # users and rights
    "setuid": lambda: os.setuid(0),
    "setgid": lambda: os.setgid(0),
    "setresuid": lambda: os.setresuid(-1, 0, -1),
    "setgroups": lambda: os.setgroups([0]),
    "setfsuid": lambda: STOPPED if (libc.setfsuid(0), libc.setfsuid(-1))[1] != 0 else "0",
    "more capabilities": lambda: call("capset", struct.pack("=Ii", 0x20080522, 0), b"\xff" * 24),
    "ambient capability": lambda: call("prctl", 47, ctypes.c_ulong(2), ctypes.c_ulong(21), 0, 0),
    "setuid program": suid_program,
    "securebits": lambda: call("prctl", 28, ctypes.c_ulong(0), 0, 0, 0),
    "personality": lambda: syscall(135, 92, 0x0400000),
    "higher priority": lambda: os.setpriority(os.PRIO_PROCESS, 0, -20),
    "more files": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096)),
    "more processes": lambda: resource.setrlimit(resource.RLIMIT_NPROC, (4096, 4096)),
    # devices and mounts
    "block device": node(stat.S_IFBLK, 254, 0),
    "memory device": node(stat.S_IFCHR, 1, 1),
    "another null": node(stat.S_IFCHR, 1, 3),
    "mount": lambda: mount(b"none", b"/tmp", b"tmpfs", 0),
    "mount proc": lambda: mount(b"proc", b"/tmp", b"proc", 0),
    "make /usr writable": lambda: mount(b"none", b"/usr", b"none", 32 | 4096),
    "make /etc writable": lambda: mount(b"none", b"/etc", b"none", 32 | 4096),
    "umount": lambda: call("umount2", b"/usr", 2),
    "pivot_root": lambda: call("pivot_root", b"/", b"/tmp"),
    "chroot": back_to_the_old_root,
    "open_tree": lambda: syscall(428, 428, 0, b"/usr", 1),
    "fsopen": lambda: syscall(430, 430, b"tmpfs", 0),
    "mount_setattr": lambda: syscall(442, 442, 0, b"/usr", 0, struct.pack("=4Q", 0, 1, 0, 0), 32),
    # namespaces
    **{f"unshare {flag:x}": lambda flag=flag: call("unshare", flag) for flag in (
        0x10000000, 0x00020000, 0x40000000, 0x20000000, 0x02000000, 0x04000000, 0x08000000, 0x80,
    )},
    "clone into a user namespace": clone_user,
    "clone3 into a user namespace": clone3_user,
    "setns": into_first,
    "root of the first process": root_of_first,
    # other processes
    "kill a process of the host": lambda: os.kill(VICTIM, signal.SIGKILL),
    "kill the first process": lambda: os.kill(1, signal.SIGKILL),
    "kill all": kill_all,
    "see others": anybodys_processes,
    "ptrace": trace_first,
    "process_vm_readv": read_memory,
    "pidfd of a process of the host": lambda: os.close(os.pidfd_open(VICTIM)),
    "priority of the first process": lambda: os.setpriority(os.PRIO_PROCESS, 1, 19),
    "limits of the first process": lambda: resource.prlimit(1, resource.RLIMIT_CPU, (1, 1)),
    # the kernel
    "init_module": lambda: syscall(175, 105, b"", 0, b""),
    "finit_module": lambda: syscall(313, 273, 0, b"", 0),
    "delete_module": lambda: syscall(176, 106, b"pipework_none", 0),
    "kexec_load": lambda: syscall(246, 104, 0, 0, 0, 0),
    "reboot": lambda: syscall(169, 142, 0xFEE1DEAD, 672274793, 0, 0),
    "swapon": lambda: syscall(167, 224, b"/tmp/none", 0),
    "syslog": lambda: syscall(103, 116, 3, ctypes.create_string_buffer(64), 64),
    "bpf": lambda: syscall(321, 280, 0, struct.pack("=4IQ", 1, 4, 4, 1, 0), 24),
    "perf_event_open": lambda: syscall(298, 241, struct.pack("=IIQ112x", 1, 128, 0), 0, -1 & (1 << 64) - 1, 0, 0),
    "userfaultfd": lambda: syscall(323, 282, 1),
    "io_uring": lambda: syscall(425, 425, 4, ctypes.create_string_buffer(120)),
    "keyctl": lambda: syscall(250, 219, 1, 0),
    "add_key": lambda: syscall(248, 217, b"user", b"pipework", b"x", 1, -3 & (1 << 64) - 1),
    "open_by_handle_at": lambda: syscall(304, 265, 0, struct.pack("=Ii8x", 8, 1), 0),
    "name_to_handle_at": lambda: syscall(303, 264, 0, b"/usr", struct.pack("=Ii128x", 128, 0), b"\0" * 8, 0),
    "fanotify": lambda: syscall(300, 262, 0, 0),
    "sethostname": lambda: socket.sethostname("attack"),
    "settimeofday": lambda: call("settimeofday", None, struct.pack("=2i", 0, 0)),
    "acct": lambda: syscall(163, 89, 0),
    **({
        "iopl": lambda: syscall(172, 0, 3),
        "a call of x32": lambda: syscall(0x40000000 | 39, 0),
        "a call of another architecture": of_other_architecture,
    } if X86 else {}),
    # beyond the network namespace
    **{f"socket of family {number}": family(number, kind) for number, kind in (
        (40, socket.SOCK_STREAM), (38, socket.SOCK_SEQPACKET), (15, socket.SOCK_RAW), (30, socket.SOCK_SEQPACKET),
        (21, socket.SOCK_SEQPACKET), (31, socket.SOCK_RAW), (44, socket.SOCK_RAW),
    )},
    "socketpair of another family": lambda: socket.socketpair(30, socket.SOCK_SEQPACKET),
    "an engine's socket": connect("/run/engine.sock"),
    "Docker": connect("/var/run/docker.sock"),
    "the bus": connect("/run/dbus/system_bus_socket"),
    "the log": connect("/dev/log"),
    # the container's network
    "lo down": lo_down,
    "an address": new_address,
    "lo down by ioctl": lambda: fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh14x", b"lo", 0)),
}  # fmt: skip


def state():
    found = {}
    with open("/proc/self/status") as handle:
        for line in handle:
            name, _colon, value = line.partition(":")
            if name.startswith("Cap"):
                found[name] = int(value, 16)
            elif name in ("NoNewPrivs", "Seccomp"):
                found[name] = int(value)
            elif name == "Uid":
                found["uids"] = [int(word) for word in value.split()]
            elif name == "Gid":
                found["gids"] = [int(word) for word in value.split()]
            elif name == "Groups":
                found["groups"] = value.split()
    found["processes"] = len([name for name in os.listdir("/proc") if name.isdigit()])
    found["root"], found["proc"] = os.listdir("/"), os.listdir("/proc")
    found["filled"] = {path: os.listdir(path) for path in ("/root", "/home", "/sys")}
    found["memory"] = memory()
    found["written"] = fill()
    found["forks"] = forks()
    return found


def memory():
    held = []
    try:
        while len(held) < 64:
            held.append(mmap.mmap(-1, 16 << 20))
    except OSError:
        pass
    return len(held) * (16 << 20)


def fill():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    number = written = 0
    while number < 64:
        number += 1
        try:
            with open(f"/tmp/fill{number}", "wb", buffering=0) as handle:
                while written < 64 << 20:
                    written += handle.write(b"x" * 65536)
        except OSError as error:
            if error.errno == 28:  # no space left
                break
    for each in range(1, number + 1):
        os.unlink(f"/tmp/fill{each}")
    return written


def forks():
    """How many processes it can have; they stay, in sessions of their own."""
    number = 0
    while number < 200:
        try:
            pid = os.fork()
        except OSError:
            break
        if pid == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                signal.pause()
        number += 1
    return number


def main():
    report = {}
    fds = sorted(int(name) for name in os.listdir("/proc/self/fd"))
    for name, attempt in A.items():
        pid_before = os.getpid()
        try:
            said = attempt()
            report[name] = {"done": said != STOPPED, "said": str(said)}
        except OSError as error:
            report[name] = {"done": error.errno not in REFUSALS, "said": error.strerror or str(error)}
        except ValueError as error:  # a limit that would be raised
            report[name] = {"done": False, "said": str(error)}
        if os.getpid() != pid_before:
            os._exit(0)
    report["state"] = state()
    report["state"]["fds"] = [fd for fd in fds if fd <= 2 or os.path.exists(f"/proc/self/fd/{fd}")]
    with open(SAID, "w") as handle:
        handle.write("report=" + json.dumps(report) + "\0")


main()
