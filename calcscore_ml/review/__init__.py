"""The page where an expert decides on referred lesions, and the store that keeps every decision."""
