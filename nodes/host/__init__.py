"""The only rooms that know ComfyUI's insides. When ComfyUI moves, what has to change is here."""
