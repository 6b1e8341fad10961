"""Demo: a metadata service and a scratch machine, without AWS and without root."""
