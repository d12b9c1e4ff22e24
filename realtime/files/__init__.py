"""Files that people and tools give to a session: taken in, told apart by content, kept, read.

`store` is what others use. A file's bytes lie beside the journal, each content once, or in
Supabase Storage; its name and type stand in the journal and in the events that list it.
"""
