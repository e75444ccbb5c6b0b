"""What runs long: cross-validation, and commands in processes of their own."""
