"""Where things are in this checkout, for tests that look at the files themselves."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "entrepot"
PROGRAMS = Path(sys.prefix) / "bin"
GIT = ("git", "-c", f"safe.directory={ROOT}")  # Also for a user whose the checkout is not.


def project_files(*patterns: str) -> list[Path]:
    """The files git keeps or would keep (not ignored), absolute, sorted; all of them or those of the git patterns."""
    listed = subprocess.run(
        [*GIT, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    names = sorted(set(listed.decode().split("\0")) - {""})
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def source_files() -> list[Path]:
    """The Python files of the product, sorted."""
    return sorted(SOURCE.rglob("*.py"))
