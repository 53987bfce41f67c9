"""All configuration, read once: flags, then the environment, then the file ENTREPOT_CONFIG names, then defaults.

A setting `gateway_address` is `ENTREPOT_GATEWAY_ADDRESS` in the environment, `gateway_address` in the TOML file and
`--gateway-address` where a command has such a flag. docs/reference/settings.md describes each.
"""

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from entrepot.core.errors import BadInput
from entrepot.core.notices import signature

PREFIX = "ENTREPOT_"
CONFIG = f"{PREFIX}CONFIG"


class Address(NamedTuple):
    """Where something listens. Port 0 stands for any free port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """How a client on this machine reaches it."""
        return self.url_with("http")

    def url_with(self, scheme: str) -> str:
        """The same, for a scheme."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - not bound, translated
        return f"{scheme}://{Address(host, self.port)}"


def _address(text: str) -> Address:
    match = re.fullmatch(r"(?:\[([^\]]+)\]|([^:\s]+)):([0-9]{1,5})", text)
    if match is None or int(match[3]) > 65535:
        raise ValueError("must be like 127.0.0.1:8080")
    return Address(match[1] or match[2], int(match[3]))


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,15}", text) or int(text) < 1:
        raise ValueError("must be a whole number of at least 1")
    return int(text)


def _path(text: str) -> Path:
    if not text:
        raise ValueError("must be a path")
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise ValueError("begins with the home directory of a user who has none here") from None


def _path_or_nothing(text: str) -> str:
    return str(_path(text)) if text else ""


def _valkey_url(text: str) -> str:
    if text:
        from entrepot.adapters.valkey.client import parse_server

        parse_server(text)
    return text


def _url_or_nothing(text: str) -> str:
    if text and not re.fullmatch(r"https?://[^/?#\s]+(?:/[^?#\s]*)?", text):
        raise ValueError("must be like http://127.0.0.1:4318 or https://host/path")
    return text


def _webhook_secret(text: str) -> str:
    try:
        if text:
            signature(text, "", 0, b"")
    except ValueError:
        raise ValueError("must be whsec_ and base64") from None
    return text


def _smtp_url(text: str) -> str:
    if text and not re.fullmatch(r"smtps?://(?:[^@/\s]+@)?[^@/:\s]+(?::[0-9]{1,5})?/?", text):
        raise ValueError("must be like smtp://user:password@mail.example.org:587")
    return text


def _share(text: str) -> float:
    if not re.fullmatch(r"0|1|[01]?\.[0-9]{1,4}", text) or float(text) > 1:
        raise ValueError("must be a number from 0 to 1, with up to four digits after the point")
    return float(text)


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be {', '.join(words[:-1])} or {words[-1]}")
        return text

    return parse


_form = _one_of("json", "text")
_counters = _one_of("auto", "process", "machine", "valkey")
_safe_place = _one_of("disk", "memory")


def _lost(text: str) -> str:
    if not re.fullmatch(r"closed|open (?:100|[1-9][0-9]?)%", text):
        raise ValueError("must be closed, or open with a share of each limit, like open 10%")
    return text


def _path_or_none(text: str) -> Path | None:
    return _path(text) if text else None


@dataclass(frozen=True, slots=True)
class Definition:
    """A setting. parse raises ValueError with a sentence that follows the setting's name. secret: never shown."""

    name: str
    default: str
    parse: Callable[[str], object]
    about: str
    secret: bool = False

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return PREFIX + self.name.upper()


DEFINITIONS = (
    Definition("home", "var", _path, "data directory"),
    Definition("gateway_address", "127.0.0.1:8080", _address, "where clients send their requests"),
    Definition("gateway_socket", "", _path_or_none, "a Unix socket for clients on this machine"),
    Definition("gateway_certificate", "", _path_or_none, "certificate chain (PEM); with it clients speak TLS"),
    Definition("gateway_certificate_key", "", _path_or_none, "the certificate's private key (PEM)"),
    Definition("gateway_client_ca", "", _path_or_none, "certificates (PEM) that must have signed a client's own"),
    Definition("upstream_ca", "", _path_or_none, "certificates (PEM) of authorities that upstreams may have as well"),
    Definition("console_address", "127.0.0.1:8081", _address, "where the console and the control API are"),
    Definition("console_url", "", _url_or_nothing, "where people reach the console; documents link there"),
    Definition("gateway_workers", "1", _count, "gateway processes"),
    Definition("model_threads", "1", _count, "threads of each local model"),
    Definition("cache_memory_mb", "64", _count, "what each gateway process keeps of answers in its memory"),
    Definition("valkey_url", "", _valkey_url, "the Valkey server that gateways share", secret=True),
    Definition("counters", "auto", _counters, "where limits are counted: auto, process, machine or valkey"),
    Definition("counters_lost", "closed", _lost, "what becomes of requests that meet limits when nobody can count"),
    Definition("answers_wait_for", "disk", _safe_place, "where usage must be before an answer ends: disk or memory"),
    Definition("drain_seconds", "20", _count, "how long running answers may take to end when stopping"),
    Definition("reload_drain_seconds", "900", _count, "how long a replaced gateway may take to end its answers"),
    Definition("disk_free_mb_min", "200", _count, "free space of the data directory below which doctor complains"),
    Definition("access_log", "", _path_or_nothing, "file with a line for each request; nothing: none is written"),
    Definition("access_log_form", "json", _form, "form of these lines"),
    Definition("otlp_endpoint", "", _url_or_nothing, "collector that gets traces; nothing: none are made"),
    Definition("trace_share", "0", _share, "of the requests that are in no trace yet, how many begin one"),
    Definition("webhook_secret", "", _webhook_secret, "what webhooks are signed with: whsec_ and base64", secret=True),
    Definition("smtp_url", "", _smtp_url, "the server that mail goes through", secret=True),
    Definition("mail_from", "entrepot@localhost", str, "whom mail is from"),
    Definition("admin_token", "", str, "token of the console and control API; made at the first start", secret=True),
    Definition("internal_token", "", str, "between gateway and jobs process; made at the first start", secret=True),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What this installation was told: a field for each definition. sources: {setting: where its value came from}."""

    home: Path
    gateway_address: Address
    gateway_socket: Path | None
    gateway_certificate: Path | None
    gateway_certificate_key: Path | None
    gateway_client_ca: Path | None
    upstream_ca: Path | None
    console_address: Address
    console_url: str
    gateway_workers: int
    model_threads: int
    cache_memory_mb: int
    valkey_url: str
    counters: Literal["auto", "process", "machine", "valkey"]
    counters_lost: str
    answers_wait_for: Literal["disk", "memory"]
    drain_seconds: int
    reload_drain_seconds: int
    disk_free_mb_min: int
    access_log: str
    access_log_form: Literal["json", "text"]
    otlp_endpoint: str
    trace_share: float
    webhook_secret: str
    smtp_url: str
    mail_from: str
    admin_token: str
    internal_token: str
    sources: Mapping[str, str]

    @property
    def counters_lost_share(self) -> int:
        """Percent of each limit that a gateway process may use while nobody can count."""
        return 0 if self.counters_lost == "closed" else int(self.counters_lost[len("open ") : -1])

    @property
    def gateway_url(self) -> str:
        """How a client on this machine reaches the gateway."""
        return self.gateway_address.url_with("https" if self.gateway_certificate else "http")

    @property
    def gateway_socket_file(self) -> Path:
        """The gateway's Unix socket, which is always there, and speaks without TLS."""
        return self.gateway_socket or self._socket("gateway")

    @property
    def log_directory(self) -> Path:
        """The segments of the usage log."""
        return self.home / "log"

    @property
    def log_socket(self) -> Path:
        """The log process's socket."""
        return self._socket("log")

    @property
    def counter_socket(self) -> Path:
        """The socket of the process that keeps the counters of limits."""
        return self._socket("counters")

    @property
    def jobs_socket(self) -> Path:
        """The jobs process's socket."""
        return self._socket("jobs")

    @property
    def jobs_file(self) -> Path:
        """The SQLite file of uploaded files and batches."""
        return self.home / "jobs.db"

    @property
    def books_file(self) -> Path:
        """The SQLite file that everything is folded into."""
        return self.home / "books.db"

    @property
    def snapshot_file(self) -> Path:
        """What gateways serve from."""
        return self.home / "snapshot.json"

    @property
    def standings_file(self) -> Path:
        """What the books know of budgets."""
        return self.home / "budgets.jsonl"

    @property
    def notices_file(self) -> Path:
        """Who was told what of budgets."""
        return self.home / "notices.json"

    @property
    def models_directory(self) -> Path:
        """Prepared weights, and the journals of what local models served."""
        return self.home / "models"

    @property
    def run_directory(self) -> Path:
        """Sockets, locks and addresses of the running processes; empty when nothing runs."""
        return self.home / "run"

    @property
    def metrics_directory(self) -> Path:
        """What running processes have counted."""
        return self.run_directory / "metrics"

    @property
    def quickstart_file(self) -> Path:
        """Addresses and demo keys."""
        return self.home / "quickstart.json"

    def _socket(self, name: str) -> Path:
        return self.run_directory / f"{name}.sock"

    def environment(self, *, with_secrets: bool = True) -> dict[str, str]:
        """The variables that make a child process read the same settings."""
        told = (item for item in DEFINITIONS if with_secrets or not item.secret)
        values = ((item.variable, getattr(self, item.name)) for item in told)
        return {variable: "" if value is None else str(value) for variable, value in values}


def load_settings(environment: Mapping[str, str], flags: Mapping[str, str] | None = None) -> Settings:
    """The settings and their sources. flags: {setting: text} of what the command line said.

    Raises: BadInput naming the setting, where it came from and what it must be.
    """
    config = environment.get(CONFIG, "")
    try:
        written = _read_config(_path(config)) if config else {}
    except ValueError as error:
        raise BadInput(f"{CONFIG} {config!r} {error}", param=CONFIG) from None
    values: dict[str, object] = {}
    sources: dict[str, str] = {}
    for item in DEFINITIONS:
        text, source = _first(item, flags or {}, environment, written, config)
        try:
            values[item.name] = item.parse(text)
        except ValueError as error:
            shown = "" if item.secret else f" {text!r}"
            raise BadInput(f"{item.name}{shown} (from {source}) {error}", param=item.name) from None
        sources[item.name] = source
    return Settings(**values, sources=sources)  # type: ignore[arg-type]


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """A sentence for each variable that looks like a setting and is none: most often a misspelling."""
    known = [CONFIG, *(item.variable for item in DEFINITIONS)]
    unknown = sorted(name for name in environment if name.startswith(PREFIX) and name not in known)
    return [f"{name} is not a setting; {_meant(name, known, 'see docs/reference/settings.md')}" for name in unknown]


def _first(
    item: Definition,
    flags: Mapping[str, str],
    environment: Mapping[str, str],
    written: Mapping[str, str],
    config: str,
) -> tuple[str, str]:
    if item.name in flags:
        return flags[item.name], f"--{item.name.replace('_', '-')}"
    if environment.get(item.variable):
        return environment[item.variable], item.variable
    if item.name in written:
        return written[item.name], config
    return item.default, "default"


def _read_config(path: Path) -> dict[str, str]:
    try:
        with path.open("rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        raise BadInput(f"{CONFIG} names {path}, which cannot be read: {error.strerror}", param=CONFIG) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not TOML: {error}", param=CONFIG) from None
    known = [item.name for item in DEFINITIONS]
    for name, value in document.items():
        if name not in known:
            hint = _meant(name, known, f"settings are {', '.join(known)}")
            raise BadInput(f"{path}: unknown setting {name}; {hint}", param=name)
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise BadInput(f"{path}: {name} must be a text or a number", param=name)
    return {name: str(value) for name, value in document.items()}


def _meant(name: str, known: Sequence[str], otherwise: str) -> str:
    """The prefix that all variables have makes none of them nearer."""
    by_rest = {item.removeprefix(PREFIX): item for item in known}
    near = difflib.get_close_matches(name.removeprefix(PREFIX), by_rest, n=1)
    return f"did you mean {by_rest[near[0]]}?" if near else otherwise
