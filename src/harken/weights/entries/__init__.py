"""The entries of the catalogue, by what the weights do. This is data: `harken.weights.store` acts on it."""
