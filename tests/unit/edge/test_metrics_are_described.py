"""docs/operations/observability.md and the files beside it name the metrics that there are, and no others."""

import importlib
import re

import yaml

from entrepot.core.metrics import Metric
from tests.support.tree import ROOT, SOURCE

OPERATIONS = ROOT / "docs" / "operations"
SERVED = ("gen_ai_operation_name", "gen_ai_request_model", "gen_ai_provider_name", "entrepot_upstream")
ROW = re.compile(r"^\| `(\w+)` \| (counter|gauge|histogram) \|([^|]*)\|([^|]*)\| [^|]+ \|$", re.MULTILINE)


def defined() -> dict[str, Metric]:
    """Every metric of the program, by name."""
    paths = [
        path for path in SOURCE.rglob("*.py") if " = Metric(" in path.read_text() or "_histogram(" in path.read_text()
    ]
    modules = [".".join(path.relative_to(SOURCE.parent).with_suffix("").parts) for path in paths]
    found = [value for name in modules for value in vars(importlib.import_module(name)).values()]
    return {value.name: value for value in found if isinstance(value, Metric)}


def test_the_table_is_the_code() -> None:
    described = {}
    for name, kind, unit, labels in ROW.findall((OPERATIONS / "observability.md").read_text()):
        named = [
            label
            for word in labels.split(", ")
            for label in (SERVED if word.strip() == "served" else [word.strip("` ")])
        ]
        described[name] = (kind, unit.strip(), tuple(label for label in named if label))
    assert described == {name: (metric.kind, metric.unit, metric.labels) for name, metric in defined().items()}


def test_the_alerts_ask_for_metrics_that_there_are() -> None:
    rules = [
        rule for group in yaml.safe_load((OPERATIONS / "alerts.yml").read_text())["groups"] for rule in group["rules"]
    ]
    labels = {label for metric in defined().values() for label in metric.labels}
    for rule in rules:
        named = set(re.findall(r"\b(?:entrepot|gen_ai)_\w+", rule["expr"])) - labels
        assert named, rule["alert"]
        assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in named} <= set(defined()), rule["alert"]


def test_the_alerts_ask_by_labels_that_these_metrics_have() -> None:
    metrics = defined()
    for group in yaml.safe_load((OPERATIONS / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            names = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\b\w+", rule["expr"])}
            has = {label for name in names & set(metrics) for label in metrics[name].labels} | {"instance", "le"}
            asked = re.findall(r"\bby \(([^)]*)\)|\{(\w+)=", rule["expr"])
            told = re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])
            named = [word.strip() for by, matched in asked for word in (by or matched).split(",")]
            assert {*named, *told} <= has, rule["alert"]


def test_the_scrape_configuration_is_for_our_default_address() -> None:
    [job] = yaml.safe_load((OPERATIONS / "prometheus.yml").read_text())["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["127.0.0.1:8080"]}]


def test_the_collector_takes_what_the_settings_say() -> None:
    collector = yaml.safe_load((OPERATIONS / "otel-collector.yaml").read_text())
    assert collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"] == "127.0.0.1:4318"
    assert "`http://127.0.0.1:4318`" in (ROOT / "docs" / "reference" / "settings.md").read_text()
    for pipeline in collector["service"]["pipelines"].values():
        for kind, names in pipeline.items():
            assert set(names) <= set(collector[kind])


def test_names_follow_the_conventions() -> None:
    for name, metric in defined().items():
        assert re.fullmatch(r"(?:entrepot|gen_ai)_[a-z_]+[a-z]", name)
        assert name.endswith("_total") == (metric.kind == "counter")
        assert name.endswith("_seconds") == (metric.unit == "s")
        assert not {"customer", "project", "key", "deployment"} & set(metric.labels)
