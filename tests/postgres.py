"""A real PostgreSQL for tests: a cluster of its own in a temporary folder, on a free port, for one process of a run.

    with cluster() as found:
        url = found.database()          postgresql+psycopg://modelserve:geheim%401@127.0.0.1:PORT/NAME
        found.terminate_connections()
        found.crash(); found.start()

It comes from Debian's package ``postgresql``, and runs as that package's user where the tests run as root. What a
commit promises is left as it is: fsync is on. Processes of one run do not share a cluster: tests end it and start it.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg

from tests.running import eventually

__all__ = ["SECRET", "Cluster", "cluster"]

USER = "modelserve"
# What shows it is found by the word; in an address the rest of it is to be written as %40.
SECRET = "geheim"
PASSWORD = f"{SECRET}@1"

# Below those that the system gives to outgoing connections, so that a port is still free after a restart.
PORTS = range(20_000, 32_000)
ATTEMPTS = 10

# Starting takes 0.3 s on an idle machine, after a crash a little longer.
START_S = 60.0
STOP_S = 60.0

# Its clock shows another time than the tests' own: what is stored is in UTC.
OPTIONS = ("listen_addresses=127.0.0.1", "max_connections=60", "lc_messages=C", "timezone=Asia/Tokyo")


class Cluster:
    """One cluster: started by :meth:`start`, which may be called again once it has ended.

    Args:
        folder: Of its own, belonging to the user that it runs as.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._count = 0

    @property
    def log(self) -> str:
        """What the server has logged."""
        return (self.folder / "log").read_text(errors="replace")

    def make(self) -> None:
        """Make the cluster, and start it on a port that is free."""
        (self.folder / "password").write_text(PASSWORD)
        choices = ["--auth-local=trust", "--auth-host=scram-sha-256", "--locale=C.UTF-8", "--encoding=UTF8"]
        files = [f"--pgdata={self.folder}/data", f"--pwfile={self.folder}/password", "--no-sync"]
        subprocess.run(
            _command("initdb", f"--username={USER}", *choices, *files), check=True, stdout=subprocess.DEVNULL
        )
        for self.port in random.sample(PORTS, ATTEMPTS):
            with contextlib.suppress(ChildProcessError):
                return self.start()
        raise AssertionError(f"PostgreSQL does not start: {self.log}")

    def start(self) -> None:
        """Start the server and return once it takes connections."""
        options = [*OPTIONS, f"port={self.port}", f"unix_socket_directories={self.folder}"]
        command = _command("postgres", "-D", f"{self.folder}/data", *(f"--{option}" for option in options))
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        eventually(self._answers, within_s=START_S)

    def crash(self) -> None:
        """End the server as ``pg_ctl stop -m immediate`` does: at once, so that its next start is a recovery."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(STOP_S)

    def database(self, *statements: str) -> str:
        """Make a database and return its address, with the password.

        Args:
            statements: What is done in it first.
        """
        self._count += 1
        name = f"jobs{self._count}"
        self.execute(f"CREATE DATABASE {name}")
        for statement in statements:
            self.execute(statement, database=name)
        return f"postgresql+psycopg://{USER}:{quote(PASSWORD)}@127.0.0.1:{self.port}/{name}"

    def execute(self, statement: str, *, database: str = "postgres") -> Sequence[tuple[Any, ...]]:
        """Do one statement as the superuser and return its rows."""
        with psycopg.connect(host=str(self.folder), port=self.port, user=USER, dbname=database, autocommit=True) as own:
            cursor = own.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Have it stand still in the block: it takes connections and statements, and says nothing."""
        assert self._process is not None
        server = psutil.Process(self._process.pid)
        family = [server, *server.children(recursive=True)]
        for process in family:
            process.suspend()
        try:
            yield
        finally:
            for process in family:
                process.resume()

    def terminate_connections(self) -> int:
        """Cut all connections of clients, and return how many there were."""
        mine = "backend_type = 'client backend' AND pid <> pg_backend_pid()"
        return len(self.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {mine}"))

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise ChildProcessError(self.log)
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """Make a cluster, and remove it when the block is left."""
    folder = Path(tempfile.mkdtemp(prefix="modelserve-postgres-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    found = Cluster(folder)
    try:
        found.make()
        yield found
    finally:
        found.crash()
        shutil.rmtree(folder)


def _command(name: str, *arguments: str) -> list[str]:
    """Return a command of PostgreSQL, which refuses to run as root; it ends with the process that starts it."""
    user = ["--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", "--pdeathsig=QUIT", *user, str(_programs() / name), *arguments]


def _programs() -> Path:
    """Return the folder of PostgreSQL's programs, of the newest version where there are several."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    assert found, "PostgreSQL is not installed: run `make system`, or apt-get install postgresql"
    return found[-1].parent
