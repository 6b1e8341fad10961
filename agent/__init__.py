"""eks-proxy-agent: one setting, and an EKS worker node speaks to the world through the company's proxy."""

__version__ = "0.1.0"
