"""What README and docs/ take from the code: transcripts, the picture of the rooms, module names."""
