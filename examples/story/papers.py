"""Makes the story's papers from the data directory that run.py made: invoice, statements, customer table, exports.

    python examples/story/papers.py --home var/story

Every step is an `entrepot` command, but one: so that a statement can cross 27 April 2026, every twentieth record of
March 2024 is booked once more, moved to April 2026. All papers come from the same ledger, which is verified in the end.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

HERE = Path(__file__).parent
WORLD = [str(HERE / name) for name in ("world.yaml", "tail.yaml", "partners.yaml")]
MOVED_BY = date(2026, 4, 1) - date(2024, 3, 1)
KEPT_ONE_IN = 20


def main() -> int:
    """0; a step that fails says why and ends it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, default=Path("var/story"), help="the data directory of run.py")
    home = parser.parse_args().home
    if not (home / "log").exists():
        parser.error(f"{home} holds no story yet; run examples/story/run.py --home {home} first")
    papers = home / "papers"
    papers.mkdir(exist_ok=True)
    run = Steps(home)
    run("apply", *WORLD)
    run("settle", "2024-03")
    later = papers / "usage-2026-04.jsonl"
    march = papers / "usage-2024-03.jsonl"
    run("usage", "export", "--period", "2024-03", "--out", march)
    move_to_april(march, later)
    run("usage", "import", later)
    for period in months("2024-04", "2026-04"):  # Months are closed in order; those between have no usage.
        run("close", period)
    run("settle", "2026-04")
    number = json.loads(run("invoice", "list", "--period", "2024-03", "--customer", "tiktok", "--json"))["invoices"][0][
        "number"
    ]
    run("invoice", "render", number, "--out", papers / "tiktok-invoice-2024-03.pdf")
    for period in ("2024-03", "2026-04"):
        run("statement", "render", f"{period}-openai-1", "--out", papers / f"openai-statement-{period}.pdf")
    (papers / "customers-2024-03.txt").write_text(run("report", "concentration", "--period", "2024-03"))
    run("invoice", "export", "--out", papers / "invoice-lines.csv")
    run("usage", "export", "--format", "focus", "--out", papers / "costs.parquet")
    run("ledger", "export", "--format", "beancount", "--out", papers / "books.beancount")
    run("ledger", "export", "--format", "hledger", "--out", papers / "books.journal")
    sys.stdout.write(run("verify"))
    sys.stdout.write("".join(f"{path}\n" for path in sorted(papers.iterdir())))
    return 0


class Steps:
    """Runs commands on a data directory."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def __call__(self, *words: object) -> str:
        """What a command prints; one that fails ends the program with what it says."""
        command = [str(Path(sys.executable).with_name("entrepot")), *map(str, words), "--home", str(self._home)]
        sys.stderr.write(f"entrepot {' '.join(map(str, words))}\n")
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(done.returncode)
        return done.stdout


def months(first: str, last: str) -> Iterator[str]:
    """Months from the first to the last."""
    year, month = map(int, first.split("-"))
    while (period := f"{year}-{month:02d}") <= last:
        yield period
        year, month = year + month // 12, month % 12 + 1


def move_to_april(march: Path, later: Path) -> None:
    """Writes every twentieth record with an id of its own, so many days later; what would be in May is left out."""
    with march.open() as records, later.open("w") as moved:
        for number, line in enumerate(records):
            record = json.loads(line)
            if number % KEPT_ONE_IN or record["admitted_at"] >= "2024-03-31":
                continue
            for name in ("admitted_at", "finished_at"):
                day, _, time = record[name].partition("T")
                record[name] = f"{date.fromisoformat(day) + MOVED_BY}T{time}"
            moved.write(json.dumps({**record, "id": f"april-{record['id']}"}) + "\n")


if __name__ == "__main__":
    sys.exit(main())
