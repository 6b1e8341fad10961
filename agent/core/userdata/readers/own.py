"""Reader of the agent itself: its settings in user data.  Pure."""

from __future__ import annotations

from agent.core.record import record
from agent.core.settings.layers import USER_DATA, merge, parse_toml
from agent.core.settings.toml_text import USER_DATA_LIMIT
from agent.core.settings.user_data import read_user_data
from agent.core.userdata.document import Document, Fault, Treatment
from agent.errors import SettingsError

NAME = "agent"


@record
class OwnReading:
    """The result, and the faults of settings that are meant for the agent."""

    treatment: Treatment
    faults: tuple[Fault, ...] = ()


def read(document: Document) -> OwnReading:
    """Return what the agent takes from user data, on an image that has it."""
    try:
        user_data = read_user_data(document.raw)
        texts = user_data.settings
        names = (
            [USER_DATA] if len(texts) == 1 else [f"{USER_DATA}, part {number}" for number in range(1, len(texts) + 1)]
        )
        layers = [parse_toml(name, text.encode("utf-8"), USER_DATA_LIMIT) for name, text in zip(names, texts)]
        settings = merge(layers).settings
    except SettingsError as error:
        faults = tuple(Fault("settings", problem) for problem in error.problems)
        return OwnReading(Treatment(NAME, "does not configure the node: its settings are wrong"), faults)
    faults = tuple(Fault("misplaced-settings", *_halves(problem)) for problem in user_data.problems)
    if not texts:
        return OwnReading(Treatment(NAME, "finds no settings"), faults)
    url = ", ".join(map(str, settings.proxy.url))
    keys = sum(len(table) for layer in layers for table in layer.data.values())
    count = f"{keys} setting{'s' * (keys != 1)}"
    return OwnReading(
        Treatment(NAME, f"reads {count}; " + (f"proxy.url is {url}" if url else "none is proxy.url")), faults
    )


def _halves(problem: str) -> tuple[str, str]:
    text, _, remedy = problem.partition("; ")
    return text, remedy
