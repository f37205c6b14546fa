"""The beam sampler for infinite hidden Markov models: compiled kernels, states, chains and what their draws say."""
