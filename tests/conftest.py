"""What all tests share."""

from hypothesis import HealthCheck, settings

# Machines are shared: a slow moment is no failure. The seed is fixed, so a failure is the same everywhere.
settings.register_profile(
    "calcscore", deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("calcscore")
