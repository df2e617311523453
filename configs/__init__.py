"""The experiment's configuration: models, loading, fingerprints, and the files shipped with it."""
