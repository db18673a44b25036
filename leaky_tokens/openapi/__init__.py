"""The API's description: one OpenAPI document of everything behind the public door, and the pages that show it."""
