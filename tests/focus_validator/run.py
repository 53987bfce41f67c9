"""The FinOps Foundation's validator of FOCUS on an export of costs: which rules it says are broken.

    python -m tests.focus_validator.run

It wants Python 3.12 and older libraries than ours, so it is installed below build/, as requirements/focus.txt locks it;
on a machine without that Python nothing is checked. Fails when it finds more than is known of it.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from entrepot.cli.main import main as entrepot
from tests.support.rich_books import make_books
from tests.support.tree import ROOT

LOCK = ROOT / "requirements" / "focus.txt"
BUILD = ROOT / "build" / "focus-validator"
CRITERIA = (
    "ACCOUNT_NAMING_SUPPORTED",
    "BILLING_BASED_ON_PROVISIONED_RESOURCES_SUPPORTED",
    "COMMITMENT_DISCOUNT_SUPPORTED",
    "MULTIPLE_PRICING_CATEGORIES_SUPPORTED",
    "NEGOTIATED_PRICING_SUPPORTED",
    "PRICING_BILLING_CURRENCY_DIFFERENCES_SUPPORTED",
    "PUBLIC_PRICE_LIST_SUPPORTED",
    "RESOURCE_TYPE_ASSIGNMENT_SUPPORTED",
    "SUB_ACCOUNT_SUPPORTED",
    "UNIT_PRICING_SUPPORTED",
    "USAGE_MEASUREMENT_SUPPORTED",
)
# Its rules leave out the conditions that the specification has (InvoiceId is null where there is no invoice, and not
# null where there is one), or turn them round (CommitmentDiscountStatus is not null where there is a commitment).
# Every purchase is to cost nothing, where the specification means those that pay for something else; seats do not.
KNOWN = {
    "CommitmentDiscountStatus-C-000-C",
    "CommitmentDiscountStatus-C-002-C",
    "CommitmentDiscountStatus-C-004-C",
    "EffectiveCost-C-000-M",
    "EffectiveCost-C-005-C",
    "InvoiceId-C-000-O",
    "InvoiceId-C-003-C",
    "InvoiceId-C-004-C",
    "InvoiceId-C-005-C",
}
PASSED_MIN = 300  # Of those that apply; far fewer, and it has read something else.


def main() -> int:
    """The exit status."""
    base = python_3_12()
    if base is None:
        print("There is no Python 3.12 on this machine, which the validator needs: nothing was checked.")
        return 0
    python = installed(base)
    with tempfile.TemporaryDirectory() as folder:
        home, costs = make_books(Path(folder)), Path(folder) / "costs.parquet"
        assert entrepot(["usage", "export", "--format", "focus", "--out", str(costs), "--home", str(home)]) == 0
        said = validated(python, costs)
    total = re.search(r"Total: \d+ \| Pass: (\d+) \| Fail: (\d+)", said)
    broken = set(re.findall(r"❌ (\S+): FAIL", said))
    if total is None or int(total[1]) < PASSED_MIN or broken - KNOWN:
        print(said[-8000:])
        print(f"broken, and not known to be the validator's own mistake: {', '.join(sorted(broken - KNOWN)) or 'none'}")
        return 1
    print(f"{total[0]}; all that fail are known mistakes of its rules: {', '.join(sorted(broken))}")
    return 0


def python_3_12() -> str | None:
    """A Python that the validator runs with; a version manager may have it without offering it."""
    offered = shutil.which("python3.12")
    found = [*([offered] if offered else []), *map(str, Path.home().glob(".pyenv/versions/3.12*/bin/python3.12"))]
    return next((name for name in found if subprocess.run([name, "-V"], capture_output=True).returncode == 0), None)


def installed(base: str) -> Path:
    """The Python that has the validator."""
    python = BUILD / "bin" / "python"
    mark = BUILD / ".installed"
    if mark.exists() and mark.read_text() == LOCK.read_text():
        return python
    print("Installing what requirements/focus.txt locks into build/focus-validator …", file=sys.stderr)
    subprocess.run([base, "-m", "venv", "--clear", str(BUILD)], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as builders:
        # What source archives are built with comes first, from the lock too, so that nothing else is fetched for it.
        blocks = re.findall(
            r"(?m)^(?:poetry-core|pyyaml|setuptools)==[^\n]*\\\n(?:    --hash=\S+(?: \\)?\n)+", LOCK.read_text()
        )
        assert len(blocks) == 3
        builders.write("".join(blocks))
        builders.flush()
        subprocess.run([*pip, "--require-hashes", "-r", builders.name], check=True)
    subprocess.run([*pip, "--require-hashes", "--no-build-isolation", "-r", str(LOCK)], check=True)
    mark.write_text(LOCK.read_text())
    return python


def validated(python: Path, costs: Path) -> str:
    """What the validator says of a file. It finds its rules beside where it is run."""
    (package,) = BUILD.glob("lib/python3.12/site-packages")
    flags = ["--block-download", "--validate-version", "1.2.0.1", "--focus-dataset", "CostAndUsage"]
    command = [str(python.with_name("focus-validator")), "--data-file", str(costs), *flags]
    done = subprocess.run(
        [*command, "--applicability-criteria", ",".join(CRITERIA)], cwd=package, capture_output=True, text=True
    )
    return done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main())
