"""The names of the formats that can be written; free of torch, because the command line lists them in its help."""

FORMATS = ("vitascope", "google", "timm", "huggingface", "torchvision")
"""vitascope, timm and huggingface are folders, google is an .npz file and torchvision a safetensors file."""
