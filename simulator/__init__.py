"""The accounting protocol under faults: seeded runs of the product's own rules, with an oracle after every step."""
