"""`python -m agent`, for a checkout; installed, /usr/bin/eks-proxy-agent does the same."""

from agent.cli import main

raise SystemExit(main())
