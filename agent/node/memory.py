"""The daemon's memory, read and written under the lock: a person's `apply` may come in between."""

from __future__ import annotations

from typing import Callable, TypeVar

from agent.core.plan.drift import Memory
from agent.edges.lock import held
from agent.node.apply import Host

Answer = TypeVar("Answer")


def change(host: Host, how: Callable[[Memory], Memory]) -> Memory:
    """Make another memory of it; answers that.  Raises AgentError."""
    with held(host.files):
        memory = how(host.state.memory())
        host.state.save_memory(memory)
    return memory


def ask(host: Host, how: Callable[[Memory], tuple[Answer, Memory]]) -> Answer:
    """Ask it something that changes it.  Raises AgentError."""
    with held(host.files):
        answer, memory = how(host.state.memory())
        host.state.save_memory(memory)
    return answer
