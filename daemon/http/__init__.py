"""The HTTP edge: llama.cpp's and OpenAI's words for what the daemon does. WIRE facts live here and nowhere else."""
