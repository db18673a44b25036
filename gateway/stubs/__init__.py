"""Fake providers, true to the wire, for development and tests. They stand alone and know nothing of the gateway.

``python -m gateway.stubs openai`` starts one. ``docs/stub-openai.md`` lists what can be ordered from it.
"""
