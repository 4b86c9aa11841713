"""The testbed: problems, methods and bounds for chains of low-rank updates. The proofs are in theory/."""
