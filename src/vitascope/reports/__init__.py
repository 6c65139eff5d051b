"""What a run tells people: one page, its figures and pictures, and the answers as CSV."""
