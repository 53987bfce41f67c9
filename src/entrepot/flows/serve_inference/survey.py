"""What deployments a snapshot has: what many of them have in common, found in small steps."""

from collections.abc import Callable, Generator
from typing import NamedTuple

from entrepot.core.snapshot import GatewaySnapshot, ServedDeployment
from entrepot.flows.serve_inference.ways import Like


class Survey(NamedTuple):
    """likes: each once, of all deployments that were, are or will be. providers: who makes each model. tokenizers: that
    prompts are counted with, "" where by their bytes. faults: what of the deployments of now cannot be used.
    """

    likes: dict[Like, None]
    providers: dict[str, str]
    tokenizers: set[str]
    faults: list[str]


def surveying(snapshot: GatewaySnapshot, fault_of: Callable[[ServedDeployment], str]) -> Generator[None, None, Survey]:
    """The survey, with each step a deployment. fault_of: a sentence, or ""."""
    survey = Survey({}, {}, set(), [])
    for project in snapshot.projects.values():
        for item in project.as_ever():
            yield
            survey.likes[item.targets, item.routing] = None
            survey.providers[item.model] = item.owned_by
            if item.limits or snapshot.budgets or item.service_tiers:
                survey.tokenizers.add(item.tokenizer)
            fault = fault_of(item) if project.deployments.get(item.name) is item else ""
            if fault:
                survey.faults.append(fault)
    return survey
