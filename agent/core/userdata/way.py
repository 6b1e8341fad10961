"""The ways in which user data gets to a node, and what each adds to it or cannot carry.  Pure."""

from __future__ import annotations

import enum

#: EC2: "User data is limited to 16 KB, in raw form, before it is base64-encoded" (EC2 user guide,
#: "Run commands when you launch an EC2 instance with user data input").
LIMIT = 16 * 1024
#: Bytes that EKS and Karpenter may add: a NodeConfig with the cluster's CA (about 1,500 in base64),
#: name, endpoint, labels and taints, and its MIME header.
ADDED = 3 * 1024


class Way(enum.Enum):
    """The provisioner that gives user data to EC2."""

    LAUNCH_TEMPLATE = "launch-template"
    MANAGED_NODE_GROUP = "managed-node-group"
    KARPENTER = "karpenter"
    TERRAFORM = "terraform"

    def adds_node_config(self, *, own_image: bool) -> bool:
        """Return True if the way adds a NodeConfig that names the cluster.

        EKS merges nothing into a launch template with an ImageId, which `own_image` means.
        terraform-aws-eks adds one in both cases (templates/al2023_user_data.tpl, or EKS does).
        Source: "Customize managed nodes with launch templates" in the EKS user guide; Karpenter,
        pkg/providers/amifamily/bootstrap/nodeadm.go.
        """
        if self is Way.MANAGED_NODE_GROUP:
            return not own_image
        return self is not Way.LAUNCH_TEMPLATE

    def may_drop_unknown_parts(self, *, own_image: bool) -> bool:
        """Return True if EKS merges the user data.

        What becomes of a part of unknown type is documented nowhere.
        """
        return self in (Way.MANAGED_NODE_GROUP, Way.TERRAFORM) and not own_image
