"""The password hash of tests: Argon2 as in production, at a cost that hundreds of users do not feel."""

from django.contrib.auth.hashers import Argon2PasswordHasher


class CheapArgon2(Argon2PasswordHasher):
    time_cost = 1
    memory_cost = 8  # KiB, the least there is
    parallelism = 1
