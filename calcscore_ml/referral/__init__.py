"""Which lesions an expert should look at, and why."""
