"""What a program defines itself, a script or a notebook, works in a worker as it does there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.running import import_path

# Each check is a function without arguments; what it returns in the program and in a worker must be the same text.
PROGRAM = """
import abc, collections, dataclasses, enum, functools, json, threading, typing, urllib.request
import modelserve
from marshmallow import Schema
from modelserve.v2 import fields

class Color(enum.Enum):
    RED = 1
    BLUE = 2
    CRIMSON = 1
    def both(self):
        return self.name + Color.BLUE.name
    @classmethod
    def _missing_(cls, value):
        return cls.BLUE

class Planet(enum.Enum):
    EARTH = (6.0, 2.0)
    def __init__(self, mass, radius):
        self.mass, self.radius = mass, radius
    @property
    def density(self):
        return self.mass / self.radius

class Right(enum.Flag):
    READ = 1
    WRITE = 2
    ALL = 3

class Level(enum.IntEnum):
    LOW = enum.auto()
    HIGH = enum.auto()

class Word(str, enum.Enum):
    YES = "yes"

class Point(Schema):
    x = fields.Int(required=True)
    @property
    def names(self):
        return sorted(self.fields)

class Line(Schema):
    ends = fields.List(fields.Nested(Point))

class Registered(type):
    def __new__(meta, name, bases, body):
        return super().__new__(meta, name, bases, {**body, "size": body.pop("raw", 0) * 2})

class Doubled(metaclass=Registered):
    raw = 4

T = typing.TypeVar("T", bound=int)

class Box(typing.Generic[T]):
    def __init__(self, held):
        self.held = held

class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...

class Square(Shape):
    @functools.cached_property
    def side(self):
        return 3
    def area(self):
        return self.side ** 2

@dataclasses.dataclass(slots=True)
class Slotted:
    x: int = 1

class Named(typing.NamedTuple):
    x: int = 1

lock, again = threading.Lock(), threading.RLock()
lock.acquire()
again.acquire()

def locks():
    return [each.acquire(timeout=5) for each in (lock, again)] if remote() else [True, True]

def remote():
    return __import__("sys").argv[-1] != "program.py"

CHECKS = {
    "enum": lambda: [Color.RED.both(), Color.CRIMSON is Color.RED, Color(2).name, Color(9).name, list(Color)],
    "enum with a value for __init__": lambda: [Planet.EARTH.density, Planet((6.0, 2.0)).name],
    "flag": lambda: [Right.READ | Right.WRITE is Right.ALL, Right.ALL.value, str(~Right.READ)],
    "int enum": lambda: [Level.HIGH + 1, isinstance(Level.LOW, int), Level.LOW < Level.HIGH],
    "str enum": lambda: [Word("yes").name, Word.YES == "yes"],
    "schema": lambda: [Point().names, Line().load({"ends": [{"x": "3"}]}), Line().validate({"ends": [{}]})],
    "metaclass": lambda: [Doubled.size, type(Doubled).__name__, hasattr(Doubled, "raw")],
    "generic": lambda: [Box[int](3).held, T.__name__, T.__bound__.__name__],
    "abstract": lambda: [Square().area(), isinstance(Square(), Shape), isinstance(3, Shape)],
    "slots": lambda: [Slotted().x, hasattr(Slotted(), "__dict__")],
    "named tuple": lambda: Named()._asdict(),
    "locks": locks,
}

try:
    import pydantic
except ImportError:
    pass
else:
    class Inner(pydantic.BaseModel):
        z: int = 3

    class Outer(pydantic.BaseModel):
        name: str = ""
        color: Color = Color.RED
        inner: list[Inner] = []
        _secret: int = pydantic.PrivateAttr(7)
        @pydantic.field_validator("name")
        @classmethod
        def upper(cls, name):
            return name.upper()

    CHECKS["pydantic"] = lambda: [
        Outer(name="bar").name, Outer(inner=[{"z": "4"}]).model_dump(mode="json"), Outer()._secret,
        Outer.model_json_schema(), isinstance(Inner(), Outer), Outer(color=2) == Outer(color=Color.BLUE),
    ]

class Model:
    def predict(self):
        return {name: str(check()) for name, check in CHECKS.items()}

if __name__ == "__main__":
    with modelserve.running(Model) as server:
        request = urllib.request.Request(f"{server.url}/v2/models/{server.name}/predict/", method="POST")
        there = json.load(urllib.request.urlopen(request, timeout=60))["predictions"]
    print(json.dumps([{name: str(check()) for name, check in CHECKS.items()}, there]))
"""


def run(folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    (folder / "program.py").write_text(source)
    environment = {**os.environ, "PYTHONPATH": import_path()}
    command = [sys.executable, "program.py"]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False
    )


def test_what_a_program_defines_is_the_same_in_a_worker(tmp_path: Path) -> None:
    done = run(tmp_path, PROGRAM)
    assert done.returncode == 0, done.stderr
    here, there = json.loads(done.stdout)
    assert there == here
    assert len(here) >= 12


UNCARRIED = """
import enum, modelserve

class Coordinate(bytes, enum.Enum):
    A = (1, "a")
    def __new__(cls, value, label):
        made = bytes.__new__(cls, [value])
        made._value_, made.label = value, label
        return made

class Model:
    def predict(self):
        return Coordinate.A.label

with modelserve.running(Model):
    pass
"""


def test_what_cannot_be_carried_is_named(tmp_path: Path) -> None:
    done = run(tmp_path, UNCARRIED)
    assert done.returncode == 1
    assert "Coordinate, an enumeration with a __new__, must be imported from a file" in done.stderr.splitlines()[-1]
