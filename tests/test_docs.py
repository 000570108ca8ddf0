"""The documentation is true: its commands run, its links lead somewhere, and the reference leaves nothing out.

Each ``console`` and ``python`` block has an HTML comment on the line above, which readers do not see:

    <!-- file: NAME -->      the block is written to NAME in a folder of the page's own
    <!-- run -->             python is run; of a console block each line after "$ " is run by bash in that folder, and
                             what follows is its output: white space does not count, and "..." stands for anything
    <!-- serve -->           one "modelserve run" is started, on a free port; 127.0.0.1:5000 and --port 5000 mean that
                             port from here to the end of the page or the next such block
    <!-- shown: REASON -->   it is not run, for this reason

The blocks of a page run in their order, against real servers. An address of a PostgreSQL, as WRITTEN_DATABASE below
has it, means a database that is there. A page with a line <!-- needs: PACKAGE --> is followed only
where that package is installed, and one with <!-- followed by: FILE --> by the tests of that file.
"""

from __future__ import annotations

import importlib.util
import os
import re
import selectors
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, cast

import pytest

from modelserve import errors
from modelserve.cli import COMMANDS
from modelserve.jobs.runner import Runner
from modelserve.metrics import JobCounts, Metrics
from modelserve.runtime.fleet import Fleet
from modelserve.runtime.nvml import Use
from modelserve.settings import FIELDS, Settings
from modelserve.web.app import Parts, build_app
from modelserve.web.failures import REFUSALS

REPOSITORY = Path(__file__).parent.parent
DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
NAMES = [str(page.relative_to(REPOSITORY)) for page in PAGES]

WRITTEN_ADDRESS = "127.0.0.1:5000"
WRITTEN_PORT = "--port 5000"
WRITTEN_DATABASE = "postgresql+psycopg://modelserve:PASSWORD@db.example.org/modelserve"
READY = "modelserve ready on http://"
READY_S = 30.0
STOP_S = 10.0

BLOCK = re.compile(r"(?:^<!-- (?P<mark>[^\n]+) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S)
FOLLOWED = re.compile(r"^<!-- followed by: (\S+) -->$", re.M)
NEEDS = re.compile(r"^<!-- needs: (\w+) -->$", re.M)
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]*)?\)")


class Block(NamedTuple):
    """One fenced block: its mark ("" where it has none), its language and its text."""

    mark: str
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    found = BLOCK.finditer(page.read_text())
    return [Block(match["mark"] or "", match["language"], match["text"]) for match in found]


class Command(NamedTuple):
    """One command of a console block and the output that the page promises."""

    line: str
    output: str


def commands(text: str) -> Iterator[Command]:
    """Yield the commands of a console block."""
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        line, _, output = part.partition("\n")
        yield Command(line, output)


def fits(output: str, promised: str) -> bool:
    """Tell whether an output is the promised one: white space does not count, and "..." stands for anything."""
    squeezed = ("".join(part.split()) for part in promised.split("..."))
    return re.fullmatch(".*".join(map(re.escape, squeezed)), "".join(output.split()), re.S) is not None


class Server:
    """One ``modelserve run`` as a page writes it, on a free port."""

    def __init__(self, line: str, folder: Path, environment: dict[str, str]) -> None:
        self._log = folder / "server.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [*shlex.split(line), "--port", "0"],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        try:
            self.address = self._await_ready()
        except BaseException:
            self.stop()
            raise

    def _await_ready(self) -> str:
        assert self._process.stdout is not None
        deadline = time.monotonic() + READY_S
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while selector.select(max(0.0, deadline - time.monotonic())):
                line = self._process.stdout.readline()
                if line.startswith(READY):
                    return line.removeprefix(READY).strip().partition("/")[0]
                if not line:
                    break
        raise AssertionError(f"the server did not get ready:\n{self._log.read_text()}")

    def stop(self) -> None:
        """End the server as Ctrl-C does; kill it where that takes too long."""
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


class Reader:
    """Does what a page tells its reader to do, in a folder of its own."""

    def __init__(self, folder: Path, database: str = WRITTEN_DATABASE) -> None:
        self._folder = folder
        self._database = database
        self._server: Server | None = None
        self._environment = {name: text for name, text in os.environ.items() if not name.startswith("MODELSERVE_")}
        # Where servers keep their jobs, and models what they have learnt, unless the page says another place.
        self._environment["XDG_DATA_HOME"] = str(folder / "data")
        self._environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    def follow(self, block: Block) -> None:
        """Do what one block says."""
        kind, _, detail = block.mark.partition(": ")
        if kind == "file":
            (self._folder / detail).write_text(block.text.replace(WRITTEN_DATABASE, self._database))
        elif kind == "serve":
            self._serve(block.text)
        elif kind == "run" and block.language == "python":
            self._run([sys.executable, "-W", "error", "-c", block.text])
        elif kind == "run":
            for command in commands(block.text):
                self._check(command)

    def _serve(self, text: str) -> None:
        self._stop()
        (command,) = commands(text)
        self._server = Server(command.line, self._folder, self._environment)

    def _check(self, command: Command) -> None:
        address = self._server.address if self._server else WRITTEN_ADDRESS
        line = command.line.replace(WRITTEN_ADDRESS, address)
        line = line.replace(WRITTEN_PORT, f"--port {address.rpartition(':')[2]}")
        output = self._run(["bash", "-c", line]).replace(address, WRITTEN_ADDRESS)
        assert fits(output, command.output), f"$ {command.line}\n{output}\nThe page promises:\n{command.output}"

    def _run(self, command: list[str]) -> str:
        done = subprocess.run(command, cwd=self._folder, env=self._environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command[-1]}\nexit status {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None


def by_others() -> list[tuple[Path, str]]:
    """Return the pages that other tests follow, and the files of these."""
    return [(page, file) for page in PAGES for file in FOLLOWED.findall(page.read_text())]


FOLLOWED_HERE = [page for page in PAGES if page not in dict(by_others())]


@pytest.mark.parametrize(("page", "file"), by_others())
def test_the_tests_that_follow_a_page_name_it(page: Path, file: str) -> None:
    assert f'"{page.name}"' in (REPOSITORY / file).read_text()


@pytest.mark.timeout(600)  # trainings give way to all else on the machine
@pytest.mark.parametrize("page", FOLLOWED_HERE, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_what_a_page_tells_its_reader_to_do_works(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    for package in NEEDS.findall(page.read_text()):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    has_database = WRITTEN_DATABASE in page.read_text()
    database = request.getfixturevalue("postgres").database() if has_database else WRITTEN_DATABASE
    with Reader(tmp_path, database) as reader:
        for block in blocks(page):
            reader.follow(block)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_and_program_on_a_page_is_marked(page: Path) -> None:
    known = re.compile(r"run|serve|file: [\w.-]+|shown: .+")
    wrong = [b.text for b in blocks(page) if b.language in ("console", "python") and not known.fullmatch(b.mark)]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    targets = [match[1] for match in LINK.finditer(page.read_text()) if "://" not in match[1]]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_page_is_in_the_navigation() -> None:
    listed = re.findall(r"[\w/-]+\.md", (REPOSITORY / "mkdocs.yml").read_text())
    assert sorted(listed) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


def headings(page: str) -> list[str]:
    """Return the headings of a page in the reference."""
    return re.findall(r"^#+ (.+)$", (DOCS / "reference" / page).read_text(), re.M)


def rows(page: str) -> list[list[str]]:
    """Return the table rows of a page in the reference, as their cells without code marks."""
    lines = re.findall(r"^\| (.+) \|$", (DOCS / "reference" / page).read_text(), re.M)
    return [[cell.strip().strip("`") for cell in line.split("|")] for line in lines]


@pytest.mark.parametrize("name", [field.name for field in FIELDS])
def test_every_setting_has_its_heading(name: str) -> None:
    assert name in headings("settings.md")


def routes() -> list[str]:
    """Return every route of a server, but for the pages' assets, as the reference writes it."""
    settings, metrics = Settings(), Metrics()
    # The routes of jobs look at their runner only when they are asked.
    app = build_app(Parts(Fleet([], settings, metrics), settings, metrics, jobs=cast(Runner, object())))
    found = {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource}
    shown = {f"{method} {path.rstrip('/') or '/'}" for method, path in found if method != "HEAD"}
    return sorted(route for route in shown if "/assets/" not in route)


def test_every_route_is_in_the_reference_and_no_other() -> None:
    table = [cells[0] for cells in rows("http.md") if cells[0].startswith(("GET ", "POST ", "DELETE ", "* "))]
    assert sorted(table) == routes()


def sent_errors() -> set[tuple[str, str]]:
    """Return status and code of every error that a client may meet."""
    classes = [getattr(errors, name) for name in errors.__all__]
    own = {
        (str(kind.status), kind.code) for kind in classes if not issubclass(kind, errors.StartError | errors.Reported)
    }
    return own | {(str(status), code) for status, (code, _) in REFUSALS.items()}


def test_every_error_code_is_in_the_reference_with_its_status() -> None:
    table = {(cells[0], cells[1]) for cells in rows("http.md") if cells[0].isdigit()}
    assert sorted(table) == sorted(sent_errors())


def test_every_exit_status_of_a_failed_start_is_in_the_reference() -> None:
    documented = {cells[0] for cells in rows("cli.md")}
    assert {str(kind.exit_code) for kind in errors.StartError.__subclasses__()} <= documented


def test_every_metric_has_its_heading() -> None:
    metrics = Metrics(seldon=True)
    metrics.watch_jobs(lambda: JobCounts({}, {}))
    metrics.machine.gpus = {"": Use(0, 0, None)}
    collected = [metric.name for metric in metrics.registry.collect()]
    assert sorted(name for name in headings("metrics.md") if name[0].islower()) == sorted(collected)


def test_every_command_has_its_heading() -> None:
    documented = [heading for heading in headings("cli.md") if heading.startswith("modelserve ")]
    assert sorted(documented) == sorted(f"modelserve {name}" for name in COMMANDS)


def test_the_outputs_of_commands_are_compared_without_white_space_and_with_wildcards() -> None:
    assert fits('{"y": 9.0}\n', '{"y":9.0}')
    assert fits("1 passed in 0.01s", "... passed in ...")
    assert not fits('{"y": 9.5}', '{"y":9.0}')
