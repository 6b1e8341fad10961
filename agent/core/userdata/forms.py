"""The text that each way takes: a MIME message, a manifest, HCL of Terraform.  Pure."""

from __future__ import annotations

from collections.abc import Sequence

from agent.core.userdata.multipart import TextPart, multipart, unused
from agent.core.userdata.way import Way


def text_for(way: Way, parts: Sequence[TextPart], name: str) -> str:
    """Return the text; `name` is that of the EC2NodeClass."""
    if way is Way.KARPENTER:
        return _node_class(multipart(parts), name)
    if way is Way.TERRAFORM:
        return _terraform(parts)
    return multipart(parts)


def _node_class(user_data: str, name: str) -> str:
    """Return a part of an EC2NodeClass.

    Source: the API reference of Karpenter, karpenter.k8s.aws/v1.
    """
    return (
        "# The user data of an EC2NodeClass.  Put spec.userData into yours, or patch it:\n"
        f"#   kubectl patch ec2nodeclass {name} --type merge --patch-file FILE\n"
        "apiVersion: karpenter.k8s.aws/v1\n"
        "kind: EC2NodeClass\n"
        "metadata:\n"
        f"  name: {name}\n"
        "spec:\n"
        "  userData: |\n" + _indented(user_data, "    ")
    )


def _terraform(parts: Sequence[TextPart]) -> str:
    """Return the argument cloudinit_pre_nodeadm of a node group of terraform-aws-eks.

    In a heredoc of HCL, `${` and `%{` begin a template, and are written `$${` and `%%{` (Terraform,
    "Strings and Templates").  `<<-` removes the indentation that all lines have.
    """
    lines = ["# An argument of a node group of terraform-aws-eks (eks_managed_node_groups, self_managed_node_groups)."]
    lines.append("cloudinit_pre_nodeadm = [")
    for part in parts:
        end = unused("EOT", [part.text])
        content_type = part.content_type.replace('"', '\\"')
        text = _indented(part.text.replace("${", "$${").replace("%{", "%%{"), "      ")
        lines += ["  {", f'    content_type = "{content_type}"', f"    content      = <<-{end}"]
        lines += [text.rstrip("\n"), f"    {end}", "  },"]
    return "\n".join([*lines, "]", ""])


def _indented(text: str, indent: str) -> str:
    return "".join(indent + line if line.strip() else line for line in text.splitlines(keepends=True))
