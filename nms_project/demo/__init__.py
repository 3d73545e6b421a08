"""`make demo`: the whole product on simulated hosts, driven through its public API."""
