"""Many runs on one frozen base, trained at once: their batches go through it together, each with its own adapter."""
