"""What `make run` prints to try."""

import subprocess
from pathlib import Path

from entrepot.compose.demo import DemoCustomer, Quickstart, snippets
from entrepot.compose.settings import load_settings


def test_an_address_in_brackets_can_be_pasted_into_any_shell(tmp_path: Path) -> None:
    """zsh, like Bash with this option, refuses a pattern that matches no file; [::1] is one."""
    customer = DemoCustomer("Alder", "ek-1", ("tutor",))
    quickstart = Quickstart("http://[::1]:8080", "http://[::1]:8081", "token", (customer,))
    lines = snippets(load_settings({}, {"home": str(tmp_path)}), quickstart)
    first = next(at for at, line in enumerate(lines) if line.startswith("  curl "))
    pasted = "\n".join(lines[first : lines.index("", first)]).replace("curl", "printf '%s\\n'")
    done = subprocess.run(["bash", "-O", "failglob", "-c", pasted], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.startswith("-s\nhttp://[::1]:8080/v1/chat/completions\n-H\nauthorization: Bearer ek-1\n")
