"""What README and docs/ take from the code: transcripts, and the picture of the rooms."""
