"""Learn physical systems with their symmetry: kept where it holds, found where it breaks."""

__version__ = "0.1.0"
