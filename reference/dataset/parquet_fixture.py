"""Writes the small Parquet tables that the tests of `crates/dataset` read.

    python3 -m venv .venv && .venv/bin/pip install -r reference/dataset/requirements.txt
    .venv/bin/python reference/dataset/parquet_fixture.py crates/dataset/tests/data

`people.parquet` is written by Hugging Face's `datasets`, as `push_to_hub` would: pictures as `{bytes, path}`, some
masks absent. `pages.parquet` is written by pyarrow with three row groups, small pages and gzip, and plain bytes.
Picture `i` is 16 x 12 pixels of the colour (10 i, 100, 200 - 10 i); its mask is white in the columns up to `i`.
"""

import io
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, Features, Image, Value
from PIL import Image as Pil


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def picture(i):
    return png(Pil.new("RGB", (16, 12), (10 * i, 100, 200 - 10 * i)))


def mask(i):
    image = Pil.new("L", (16, 12), 0)
    image.paste(255, (0, 0, i, 12))
    return png(image)


def main(out):
    features = Features({"image": Image(), "text": Value("string"), "mask_face": Image()})
    rows = {
        "image": [{"bytes": picture(i), "path": f"{i}.png"} for i in range(5)],
        "text": [f"picture {i}" for i in range(5)],
        # Row 0 and 3 have no face.
        "mask_face": [None if i % 3 == 0 else {"bytes": mask(i), "path": None} for i in range(5)],
    }
    Dataset.from_dict(rows, features=features).to_parquet(out / "people.parquet")
    table = pa.table({
        "text": [f"page {i}" for i in range(20)],
        "image": [picture(i) for i in range(20)],
        "mask_face": [mask(i % 16 or 1) for i in range(20)],
    })
    pq.write_table(table, out / "pages.parquet", row_group_size=7, data_page_size=200, compression="gzip",
                   use_dictionary=False, write_batch_size=1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
