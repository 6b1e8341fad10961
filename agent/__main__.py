"""Entry point of `python -m agent`, for a checkout.

An installed agent has /usr/bin/eks-proxy-agent instead.
"""

try:
    from agent.cli import main
except OSError as error:  # the limit of open files
    raise SystemExit(f"eks-proxy-agent: cannot be loaded: {error}") from None

raise SystemExit(main())
