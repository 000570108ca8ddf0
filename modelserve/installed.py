"""Tells which of the packages that modelserve needs are installed in a version that it cannot use.

Another package may have replaced one of them: ``pip install deepaas`` puts webargs 5 in the place of webargs 8.
"""

from __future__ import annotations

import importlib.metadata
import re

from modelserve.errors import ContractError

__all__ = ["explained", "unfit"]

_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[^]]*\])?\s*([<>=!~,.\w]*)")
_LIMIT = re.compile(r"(>=|<)([\d.]+)")


def unfit() -> list[str]:
    """Return a phrase for each package of an unfit version, such as "webargs 5.5.3 (it needs <9,>=8.6)"."""
    found = []
    for requirement in importlib.metadata.requires("modelserve") or ():
        match = None if ";" in requirement else _REQUIREMENT.fullmatch(requirement)
        if match is not None and (version := _version(match[1])) and not _fits(version, match[2]):
            found.append(f"{match[1]} {version} (it needs {match[2]})")
    return found


def explained(error: BaseException) -> BaseException:
    """Return what says what to install where a package of an unfit version may be why, else the error itself."""
    wrong = unfit()
    if not wrong:
        return error
    command = "pip install --upgrade modelserve"
    if _version("deepaas"):
        command = "pip uninstall -y deepaas && pip install 'modelserve[deepaas]'"
    better = ContractError(
        f"modelserve cannot use what is installed here: {', '.join(wrong)}. Run {command}. "
        f"(It failed with {type(error).__name__}: {error})"
    )
    better.__cause__ = error
    return better


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _fits(version: str, limits: str) -> bool:
    """Return whether a version is within limits of the two kinds that modelserve states."""
    number = _number(version)
    return all(
        number >= _number(limit) if sign == ">=" else number < _number(limit) for sign, limit in _LIMIT.findall(limits)
    )


def _number(version: str) -> tuple[int, ...]:
    """Return the leading whole numbers of a version; 8 is not more than 8.0."""
    numbers = [int(part) for part in re.match(r"[\d.]*", version)[0].split(".") if part]  # type: ignore[index]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
