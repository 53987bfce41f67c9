"""The import contracts of pyproject.toml hold, and each of them notices when it is broken.

A contract that nobody has seen fail may be misspelt into silence. So a copy of the source gets one wrong import
at a time, and exactly the contracts that speak of it must break.
"""

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.tree import PROGRAMS, ROOT, SOURCE

CONTRACTS: Mapping[str, str] = {
    contract["id"]: contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}


@dataclass(frozen=True, slots=True)
class Plant:
    """Imports to add, `{module file: module to import}`, and the contracts that must break, by id."""

    imports: Mapping[str, str]
    breaks: frozenset[str]

    def __str__(self) -> str:
        return ",".join(f"{file.removesuffix('.py')}->{target}" for file, target in self.imports.items())


def plant(file: str, target: str, *breaks: str) -> Plant:
    return Plant({file: target}, frozenset(breaks))


PLANTS = [
    plant("helpers.py", "entrepot.core", "floors"),
    plant("ledger/planted.py", "entrepot.metering", "floors"),
    plant("ports/planted.py", "entrepot.ledger", "floors"),
    plant("provisioning/planted.py", "entrepot.flows", "floors", "no-circles"),
    plant("adapters/planted.py", "entrepot.metering", "floors"),
    plant("rating/planted.py", "entrepot.adapters.sql", "floors", "adapters-behind-compose"),
    plant("core/utils.py", "entrepot.core.errors", "core-order"),
    plant("core/prices.py", "entrepot.core.charges", "core-order"),
    plant("core/errors.py", "entrepot.core.money", "core-order"),
    plant("core/money.py", "time", "pure"),
    plant("core/periods.py", "os", "pure"),
    plant("core/charges.py", "sqlite3", "pure"),
    plant("ports/planted.py", "asyncio", "pure"),
    plant("edge/planted.py", "entrepot.adapters.sql", "adapters-behind-compose"),
    plant("flows/planted.py", "entrepot.adapters", "adapters-behind-compose"),
    plant("relay/planted.py", "entrepot.ports.books", "request-path"),
    plant("flows/serve_inference/flow.py", "entrepot.ledger", "request-path", "gateway-process"),
    plant("edge/inference_api.py", "entrepot.ports.books", "request-path", "gateway-process"),
    plant("compose/gateway.py", "entrepot.adapters.sql", "gateway-process"),
    plant("identity/authenticate.py", "sqlite3", "gateway-process"),
    plant("edge/planted.py", "entrepot.ledger", "entries"),
    plant("workers.py", "entrepot.rating", "entries"),
    plant("flows/planted.py", "entrepot.flows.serve_inference", "flows-apart"),
    plant("adapters/planted.py", "entrepot.adapters.sql", "adapters-apart"),
    Plant(
        {
            "metering/planted_a.py": "entrepot.metering.planted_b",
            "metering/planted_b.py": "entrepot.metering.planted_a",
        },
        frozenset({"no-circles"}),
    ),
]


def test_the_contracts_hold() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


def test_every_contract_has_a_planted_violation() -> None:
    assert {name for planted in PLANTS for name in planted.breaks} == set(CONTRACTS)


@pytest.mark.parametrize("planted", PLANTS, ids=str)
def test_a_planted_violation_is_caught(planted: Plant, tmp_path: Path) -> None:
    package = tmp_path / "src" / "entrepot"
    shutil.copytree(SOURCE, package, ignore=lambda folder, names: [n for n in names if not _is_code(folder, n)])
    for file, target in planted.imports.items():
        with (package / file).open("a") as module:
            module.write(f"\nimport {target}\n")
    assert broken_contracts(tmp_path) == planted.breaks


def broken_contracts(tree: Path) -> set[str]:
    """The ids of the contracts that the tree's `src` breaks under this checkout's pyproject.toml."""
    output = lint_imports(tree).stdout
    verdicts = {
        name: re.search(rf"^{re.escape(name)} (KEPT|BROKEN)", output, re.MULTILINE) for name in CONTRACTS.values()
    }
    missing = [name for name, verdict in verdicts.items() if verdict is None]
    assert not missing, f"no verdict on {missing} in:\n{output}"
    return {key for key, name in CONTRACTS.items() if (verdict := verdicts[name]) and verdict[1] == "BROKEN"}


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAMS / "lint-imports", "--no-logo", "--no-cache", "--config", ROOT / "pyproject.toml"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree / "src"), "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
    )


def _is_code(folder: str, name: str) -> bool:
    return name.endswith(".py") or (Path(folder, name).is_dir() and name != "__pycache__")
