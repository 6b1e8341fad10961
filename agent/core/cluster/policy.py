"""Injection by a MutatingAdmissionPolicy: the API server itself gives new pods the variables.

agent/core/cluster/injection.py is the same rule in Python.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.core.cluster import admission
from agent.core.cluster.admission import Manifest, condition, names
from agent.core.cluster.objects import CONFIG_MAP, DEFAULT_NAMESPACE, NAME, VARIABLES
from agent.core.settings.workloads import Workload

POLICY = "eks-proxy-agent"


def proxy_policy(workloads: Sequence[Workload], *, secret: bool) -> list[Manifest]:
    """Return the policy and its bindings.

    A pod gets the values of the ConfigMap in kube-system.  With `secret` it gets references to the
    Secret of its own namespace instead: an expression cannot read a Secret, and a reference cannot
    leave the namespace.
    """
    # Without NO_PROXY, a proxy would get the traffic inside the cluster.
    has_values = condition("has-values", f"{names(VARIABLES)}.all(n, n in params.?data.orValue({{}}))")
    policy = admission.policy(
        POLICY,
        workloads,
        [] if secret else [has_values],
        [condition("env", _SECRET_ENV if secret else _ENV), admission.chosen(_NO_OWN_ENV)],
        admission.set_in_containers("env", "c.?env.orValue([]) + variables.env"),
        "" if secret else CONFIG_MAP,
    )
    return [policy, *admission.bindings(POLICY, workloads, *(() if secret else (NAME, DEFAULT_NAMESPACE)))]


# dyn(): the values of a map literal have to be of one type.
_ENV = f"{names(VARIABLES)}.map(n, {{'name': dyn(n), 'value': params.data[n]}})"
_SECRET_ENV = (
    f"{names(VARIABLES)}.map(n, {{'name': dyn(n), 'valueFrom':"
    f" dyn({{'secretKeyRef': {{'name': dyn('{NAME}'), 'key': dyn(n), 'optional': dyn(true)}}}})}})"
)
# A container that sets one of the names, in any case, keeps its own values.
_NO_OWN_ENV = "c.?env.orValue([]).all(e, !(e.name.lowerAscii() in ['http_proxy', 'https_proxy', 'no_proxy']))"
