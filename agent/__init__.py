"""HTTP proxy configuration for EKS worker nodes."""

__version__ = "0.1.0"
