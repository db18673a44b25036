"""The harness of the fault tests: a whole installation whose every part a test may kill, freeze, cut and bring back."""
