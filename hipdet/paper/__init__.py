"""The paper's experiments: facts, configs, runs and tables."""
