"""The doctor: what `check` looks at, a file for each group.  Nothing here changes the machine or waits for a lock."""
