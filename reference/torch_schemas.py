"""The schemas of the operators that crates/torch calls, as this torch prints them.

    python torch_schemas.py ../crates/torch/tests/data/schemas.txt

reads the operators' names out of the file (the part of each line before its parenthesis; a new operator is a line with
its name alone) and writes the file anew. Every call is checked against these schemas at run time, because libtorch's C
interface does not notice arguments that are missing.
"""

import sys
from pathlib import Path

import torch


def schema(line: str) -> str:
    name, _, overload = line.split("(")[0].partition(".")
    return str(torch._C._get_schema(name, overload))


def main() -> None:
    file = Path(sys.argv[1])
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    version = torch.__version__.split("+")[0]
    header = f"# Made by reference/torch_schemas.py with torch {version}."
    file.write_text("\n".join([header, *sorted({schema(line) for line in lines})]) + "\n")


if __name__ == "__main__":
    main()
