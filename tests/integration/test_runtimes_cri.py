# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Pods as the kubelet makes them: containerd's CRI, asked over gRPC. No Kubernetes is needed for that."""
from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._runtimes import cri
from tests.integration.engines import NET, Cases, Engine, busybox_root, eventually, gone, lingering, need
from tests.integration.lab import Host

pytestmark = pytest.mark.root

ENDPOINT = "/run/containerd/containerd.sock"
IMAGE = "docker.io/local/pause:1"
CONFIGURATION = """\
version = 2
root = "{folder}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
address = "{endpoint}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{image}"
disable_apparmor = true
restrict_oom_score_adj = true
disable_tcp_service = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{folder}/cni"
conf_dir = "{folder}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
"""
# A CNI plugin for a network without any: it claims an address that nobody uses, without which no pod is made.
PLUGIN = """\
#!/bin/sh
case $CNI_COMMAND in
VERSION) echo '{"cniVersion": "0.3.1", "supportedVersions": ["0.3.1"]}' ;;
ADD) echo '{"cniVersion": "0.3.1", "interfaces": [{"name": "eth0", "sandbox": "'"$CNI_NETNS"'"}],' \\
    '"ips": [{"version": "4", "interface": 0, "address": "198.18.90.2/24"}]}' ;;
esac
"""
NETWORK = {"cniVersion": "0.3.1", "name": "nothing", "plugins": [{"type": "nothing"}]}
HOST_NETWORK = 2  # runtime.v1.NamespaceMode NODE


def field(number: int, value: bytes | str | int) -> bytes:
    """One field of a protocol buffer."""
    def varint(rest: int) -> bytes:
        return bytes([rest]) if rest < 128 else bytes([rest & 127 | 128]) + varint(rest >> 7)

    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def first_string(message: bytes) -> str:
    """The first field of an answer, which is the ID of what was made."""
    return message[2 : 2 + message[1]].decode()


def image(folder: Path) -> Path:
    """What is to run in a pod: a busybox that sleeps, in the form of docker save."""
    layer, config = io.BytesIO(), {
        "architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/bin/sleep", "1000000"]},
        "rootfs": {"type": "layers", "diff_ids": []},
    }
    with tarfile.open(fileobj=layer, mode="w") as archive:
        archive.add(busybox_root(folder / "root"), "")
    said = subprocess.run(["sha256sum"], input=layer.getvalue(), capture_output=True, check=True).stdout.decode()
    config["rootfs"] = {"type": "layers", "diff_ids": ["sha256:" + said.split()[0]]}
    manifest = [{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]
    with tarfile.open(folder / "image.tar", "w") as archive:
        for name, data in (
            ("manifest.json", json.dumps(manifest).encode()), ("config.json", json.dumps(config).encode()),
            ("layer.tar", layer.getvalue()),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return folder / "image.tar"


class Cri(Engine):
    """A containerd of the test's own, and the calls that the kubelet makes; names are ``namespace/pod``."""

    runtime = "cri"
    groups = ("k8s.io",)
    odd_names = ("0", "a.b-c", "x" * 63)
    keeps_ident = False
    has_files = False

    def __init__(self, host: Host | None = None) -> None:
        need("containerd", "ctr", "containerd-shim-runc-v2", "runc")
        super().__init__(host)
        (self.folder / "cni").mkdir()
        for name in ("nothing", "loopback"):
            (self.folder / "cni" / name).write_text(PLUGIN, encoding="ascii")
            (self.folder / "cni" / name).chmod(0o755)
        (self.folder / "cni/10-nothing.conflist").write_text(json.dumps(NETWORK), encoding="ascii")
        text = CONFIGURATION.format(folder=self.folder, endpoint=ENDPOINT, image=IMAGE)
        (self.folder / "config.toml").write_text(text, encoding="ascii")
        self.pods: dict[str, str] = {}
        self.attempts = 0

        def begin() -> int:
            with open(self.folder / "log", "wb") as log:
                argv = ["containerd", "--config", f"{self.folder}/config.toml"]
                null = subprocess.DEVNULL
                return subprocess.Popen(argv, stdin=null, stdout=log, stderr=log, start_new_session=True).pid

        self.pid = self.host.call(begin)
        assert eventually(lambda: self.host.ok("ctr", "version"), 30), (self.folder / "log").read_text()
        self.ctr("images", "import", str(image(self.folder)))

    def ctr(self, *argv: str) -> str:
        return self.program("ctr", "--namespace=k8s.io", *argv)

    def ask(self, method: str, request: bytes) -> bytes:
        """One call of runtime.v1.RuntimeService, in a process that ends after it: gRPC and fork do not mix."""
        code = (
            "import sys, grpc\n"
            "channel = grpc.insecure_channel('unix://' + sys.argv[1])\n"
            "call = channel.unary_unary('/runtime.v1.RuntimeService/' + sys.argv[2])\n"
            "print(call(bytes.fromhex(sys.argv[3]), timeout=60, wait_for_ready=True).hex())"
        )
        return bytes.fromhex(self.program(sys.executable, "-c", code, ENDPOINT, method, request.hex()))

    def config(self, name: str, host_network: bool) -> bytes:
        space, _slash, base = name.rpartition("/")
        self.attempts += 1
        metadata = field(1, base) + field(2, f"uid-{name}") + field(3, space or "default") + field(4, self.attempts)
        options = field(1, HOST_NETWORK) if host_network else b""
        linux = field(2, field(1, options))  # security_context.namespace_options.network
        # The labels are the kubelet's, which containerd does not ask for.
        labels = {"io.kubernetes.pod.name": base, "io.kubernetes.pod.namespace": space or "default"}
        listed = b"".join(field(6, field(1, key) + field(2, value)) for key, value in labels.items())
        return field(1, metadata) + field(3, str(self.folder)) + listed + field(8, linux)

    def start(self, name: str, host_network: bool = False) -> None:
        self.pods[name] = first_string(self.ask("RunPodSandbox", field(1, self.config(name, host_network))))

    def stop(self, name: str) -> None:
        self.ask("StopPodSandbox", field(1, self.pods[name]))

    def remove(self, name: str) -> None:
        listed = self.ctr("containers", "list", "--quiet").split()
        for ident in [ident for ident in listed if ident == self.pods[name]]:
            self.ask("StopPodSandbox", field(1, ident))
            self.ask("RemovePodSandbox", field(1, ident))
        del self.pods[name]

    def sh(self, name: str, *argv: str) -> str:
        return self.ctr("tasks", "exec", "--exec-id", f"e{os.urandom(8).hex()}", self.pods[name], *lingering(*argv))

    def remove_all(self) -> None:
        for ident in self.ctr("containers", "list", "--quiet", 'labels."io.cri-containerd.kind"==sandbox').split():
            self.ask("StopPodSandbox", field(1, ident))
            self.ask("RemovePodSandbox", field(1, ident))
        self.pods.clear()

    def end(self) -> None:
        try:
            self.remove_all()
        finally:
            os.kill(self.pid, signal.SIGTERM)
            assert eventually(lambda: gone(self.pid))


@pytest.fixture(scope="module")
def started() -> Iterator[Cri]:
    found = Cri()
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def engine(started: Cri) -> Iterator[Cri]:
    yield started
    started.reset()


class TestCri(Cases):
    def test_B6_spaces_ids_and_containers_of_a_pod(self, engine: Cri) -> None:
        engine.start("shop/web1")
        assert engine.find("web1")[0] == engine.find("shop/web2")[0] == "NoContainer"
        engine.start("web1")
        pod = engine.pods["shop/web1"]
        made = field(1, pod) + field(2, container("main")) + field(3, engine.config("shop/web1", False))
        inside = first_string(engine.ask("CreateContainer", made))
        engine.ask("StartContainer", field(1, inside))
        done = engine.attach("shop/web1", addresses=[f"{NET}.1/24"])
        [shown] = done["attachments"]
        assert (shown["container"], shown["container_id"]) == ("shop/web1", pod)
        for name in (pod, pod[:13], inside, inside[:13], f"containerd://{inside}"):
            assert not engine.attach(name, addresses=[f"{NET}.1/24"])["changed"], name
        assert (engine.links("web1"), engine.links("shop/web1")) == ([], ["eth1"])
        words = ("tasks", "exec", "--exec-id", "look", inside, *lingering("ls", "/sys/class/net"))
        assert "eth1" in engine.ctr(*words)
        assert "runtime_user: cri has no use for it" in engine.refused("web1", options=True, runtime_user="nobody")

    def test_B6_the_pod_that_runs_is_meant_where_older_ones_are_kept(self, engine: Cri) -> None:
        engine.start("web1")
        old = engine.pods["web1"]
        engine.stop("web1")
        assert "container: the pod 'web1' is not running" in engine.refused("web1")
        engine.start("web1")
        assert engine.find("web1").ident == engine.pods["web1"] != old
        assert "container: the pod 'web1' is not running" in engine.refused(old)

    def test_B6_containerd_does_not_search_there_by_itself(self, engine: Cri) -> None:
        engine.start("web1")
        assert engine.find("web1", "containerd")[0] == "NoContainer"
        assert engine.find("web1", "auto").runtime == "cri"

    def test_B14_process_number_taken_over_before_its_namespace_is_opened(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """There is no process number here; the pod stops at that moment."""
        engine.start("web1")
        real = cri.open_namespace

        def late(path: str) -> int:
            engine.stop("web1")
            return real(path)

        monkeypatch.setattr(cri, "open_namespace", late)
        assert "container: the pod 'web1' is not running" in engine.refused("web1", addresses=[f"{NET}.1/24"])
        assert engine.host.links() == []

    def test_P39_daemon_that_is_not_there(self, engine: Cri, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CONTAINERD_ADDRESS", f"{engine.folder}/nothing.sock")
        assert "runtime: containerd cannot be asked: there is no socket" in engine.refused("web1")
        assert engine.find("web1", "auto")[0] == "NoContainer"


def container(name: str) -> bytes:
    """A ContainerConfig."""
    return field(1, field(1, name)) + field(2, field(1, IMAGE)) + field(11, f"{name}.log")
