"""The beam sampler for infinite hidden Markov models: compiled kernels, its state, chains and posterior."""
