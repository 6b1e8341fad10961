"""Reader of EKS: the user data of a launch template without an ImageId.  Pure.

Source: "Customize managed nodes with launch templates" in the EKS user guide: the user data has to
be a MIME multi-part archive, and EKS merges its own NodeConfig into it.  What becomes of a part of
another type than NodeConfig and shell script is not documented.
"""

from __future__ import annotations

from agent.core.record import record
from agent.core.settings.user_data import SETTINGS_TYPES
from agent.core.userdata.document import Document, Fault, Treatment
from agent.core.userdata.readers.go_mime import media_type, multipart_of

NAME = "EKS"
_REMEDY = "let a script write them to config.d, as user-data render --for managed-node-group --rpm does"


@record
class EksReading:
    """The result, and the faults for a managed node group without an ImageId."""

    treatment: Treatment
    faults: tuple[Fault, ...] = ()


def read(document: Document) -> EksReading:
    """Return what EKS makes of user data that is given in base64 once, as the API requires."""
    try:
        parts = multipart_of(document.text)
    except ValueError as error:
        text = f"refuses it in a managed node group without an ImageId: {error}"
        fault = Fault("eks", f"EKS {text} (User data was not in the MIME multipart format)", "write a multipart")
        return EksReading(Treatment(NAME, text), (fault,))
    faults = tuple(
        Fault("eks", f"whether EKS keeps a part of type {kind} is not documented", _REMEDY, number)
        for number, kind in enumerate((media_type(part.content_type) for part in parts), 1)
        if kind in SETTINGS_TYPES
    )
    count = f"{len(parts)} part{'s' * (len(parts) != 1)}"
    return EksReading(
        Treatment(NAME, f"adds its NodeConfig to {count}, in a managed node group without an ImageId"), faults
    )
