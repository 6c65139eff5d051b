"""The paper's settings as typed recipes, and whole runs made from them."""
