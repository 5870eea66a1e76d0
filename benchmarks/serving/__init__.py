"""The server under load, beside llama-server, and what it adds to calling the library."""
