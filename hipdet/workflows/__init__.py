"""Long runs: cross-validation, and training and testing in processes of their own."""
