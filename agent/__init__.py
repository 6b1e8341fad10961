"""HTTP proxy configuration for EKS worker nodes."""

__version__ = "0.2.0"
