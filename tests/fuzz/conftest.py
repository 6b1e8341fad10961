"""How many examples a target gets: the usual number, or that of `make fuzz`."""

import os

import hypothesis

if os.environ.get("FUZZ_EXAMPLES"):
    hypothesis.settings.register_profile(
        "fuzz", deadline=None, derandomize=False, max_examples=int(os.environ["FUZZ_EXAMPLES"])
    )
    hypothesis.settings.load_profile("fuzz")
