# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""A distribution's own kernel in a virtual machine: QEMU. Its root is the host's, through 9p.

The kernel and its modules are those of tests/tools/setup-qemu. A small first root, made here, loads what 9p needs.
"""
from __future__ import annotations

import functools
import os
import pathlib
import shutil
import subprocess

from machine import CHECKOUT, PATH, UNAVAILABLE, LaneError

RESULTS = CHECKOUT / ".cache" / "qemu"
KERNELS = RESULTS / "kernel"
MARKS = "qemu or oldest"
LOADED = ("veth bridge br_netfilter 8021q macvlan macvtap ipvlan tun ifb vxlan nf_tables igb igbvf "
          "mac80211_hwsim ib_ipoib nlmon")
FIRST = ("virtio_pci", "9pnet_virtio", "9p")
PROGRAM = "qemu-system-x86_64"
CPU = "Nehalem,+rdrand"  # what the wheels on PyPI want, and nothing that is slow to emulate
MEMORY_MB = 1024
SHARE = "trans=virtio,version=9p2000.L,msize=262144"


def require() -> None:
    """LaneError where something is not installed."""
    if os.uname().machine != "x86_64":
        raise LaneError(UNAVAILABLE, f"the lane runs x86-64 programs of the host, which is {os.uname().machine}")
    if not shutil.which(PROGRAM, path=PATH):
        raise LaneError(UNAVAILABLE, f"{PROGRAM} is missing: sudo make setup-system")
    if '"igb"' not in _output(PROGRAM, "-device", "help"):
        raise LaneError(UNAVAILABLE, f"{_output(PROGRAM, '--version').splitlines()[0]} has no NIC with SR-IOV (igb), "
                                     "which came with 8.0: sudo make setup-system")
    if not shutil.which("busybox", path=PATH):
        raise LaneError(UNAVAILABLE, "busybox is missing: apt-get install busybox-static")
    _release()


def settings(_scratch: pathlib.Path) -> dict[str, str]:
    """What init is to know."""
    return {"modules": str(KERNELS / "lib" / "modules"), "loaded": LOADED,
            "shared": f"-t 9p -o {SHARE},cache=none results"}


def command(scratch: pathlib.Path) -> list[str]:
    """The machine's command line. Its two NICs are one with virtual functions and the wire to another."""
    release = _release()
    (scratch / "initrd").write_bytes(_initrd(release))
    shares = []
    for name, path, how in (("root", "/", "readonly=on,multidevs=remap"), ("results", f"{scratch}/results", "")):
        shares += ["-fsdev", f"local,id={name},path={path},security_model=none,{how}".rstrip(","),
                   "-device", f"virtio-9p-pci,fsdev={name},mount_tag={name}"]
    return [
        str(shutil.which(PROGRAM, path=PATH)), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-machine", "q35", "-accel", _accelerator(), "-cpu", CPU, "-smp", "1", "-m", str(MEMORY_MB),
        "-kernel", str(KERNELS / "boot" / f"vmlinuz-{release}"), "-initrd", str(scratch / "initrd"),
        "-append", f"console=ttyS0 quiet panic=-1 net.ifnames=0 pipework_init={scratch}/init",
        "-serial", "stdio", *shares,
        "-netdev", "hubport,id=near,hubid=0", "-netdev", "hubport,id=far,hubid=0",
        "-device", "pcie-root-port,id=rp0,slot=1,chassis=1",
        "-device", "igb,bus=rp0,netdev=near,mac=02:00:00:00:01:01",
        "-device", "pcie-root-port,id=rp1,slot=2,chassis=2",
        "-device", "igb,bus=rp1,netdev=far,mac=02:00:00:00:01:02",
    ]


def environment(_scratch: pathlib.Path) -> dict[str, str]:
    """Nothing of its own."""
    return {}


def _output(*argv: str) -> str:
    done = subprocess.run(argv, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, env={**os.environ, "PATH": PATH})
    return done.stdout


@functools.cache
def _release() -> str:
    found = sorted(path.name for path in (KERNELS / "lib" / "modules").glob("*"))
    if len(found) != 1 or not (KERNELS / "boot" / f"vmlinuz-{found[0]}").is_file():
        raise LaneError(UNAVAILABLE, f"no kernel in {KERNELS}: sudo make setup-system")
    return found[0]


@functools.cache
def _accelerator() -> str:
    """KVM where it works. Some hosts have the device, but not a processor behind it that could do it."""
    probe = [PROGRAM, "-nodefaults", "-no-user-config", "-display", "none", "-S", "-accel", "kvm",
             "-cpu", f"{CPU},enforce", "-monitor", "stdio"]
    try:
        done = subprocess.run(probe, check=False, input=b"quit\n", stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, timeout=10, env={**os.environ, "PATH": PATH})
    except subprocess.TimeoutExpired:
        return "tcg"
    return "kvm" if done.returncode == 0 else "tcg"


def _initrd(release: str) -> bytes:
    """The first root: busybox, and the modules without which there is no other."""
    modules: list[str] = []
    for name in FIRST:
        shown = _output("modprobe", "-d", str(KERNELS), "-S", release, "--show-depends", name)
        modules += [path for path in (line.partition(" ")[2].strip() for line in shown.splitlines()
                                      if line.startswith("insmod ")) if path not in modules]
    script = ["#!/bin/busybox sh"]
    script += [f"/bin/busybox insmod /{os.path.basename(path)}" for path in modules]
    script += [f"/bin/busybox mount -t 9p -o ro,{SHARE},cache=loose root /new",
               "exec /bin/busybox switch_root /new $pipework_init"]
    busybox = pathlib.Path(str(shutil.which("busybox", path=PATH))).read_bytes()
    files = [("bin", 0o40755, b""), ("new", 0o40755, b""), ("bin/busybox", 0o100755, busybox),
             ("init", 0o100755, "\n".join([*script, ""]).encode())]
    files += [(os.path.basename(path), 0o100644, pathlib.Path(path).read_bytes()) for path in modules]
    return b"".join(_cpio(number, *file) for number, file in enumerate([*files, ("TRAILER!!!", 0, b"")], start=1))


def _cpio(number: int, name: str, mode: int, data: bytes) -> bytes:
    """One file of an archive as kernels unpack it (the "newc" format)."""
    path = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)
