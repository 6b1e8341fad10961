"""What `cluster` knows without asking anybody: objects, patches, verdicts on pods.  Pure."""
