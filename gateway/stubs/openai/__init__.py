"""A fake OpenAI: chat completions, embeddings, models."""
