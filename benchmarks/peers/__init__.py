"""What users would otherwise run; each file runs in an environment of its own."""
