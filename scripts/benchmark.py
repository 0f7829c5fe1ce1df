"""thermotorch-benchmark, for use in a clone: python scripts/benchmark.py"""

from thermotorch.cli import benchmark_main

if __name__ == "__main__":
    benchmark_main()
