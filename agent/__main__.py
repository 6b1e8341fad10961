"""Entry point of `python -m agent`, for a checkout.

An installed agent has /usr/bin/eks-proxy-agent instead.
"""

from agent.cli import main

raise SystemExit(main())
