"""Seeds of crates/fuzz: small whole files of every kind that it reads and that no other crate's test data has.

    pip install pillow==13.0.0 onnx==1.23.2
    python reference/fuzz_seeds.py

Run folders' seeds (events, checkpoint) are made by `fairhuman train` with the recipe at the end of this file.
"""

import io
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image

OUT = Path(__file__).resolve().parent.parent / "crates/fuzz/seeds"


def put(name, content):
    path = OUT / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def pictures():
    y, x = np.mgrid[0:40, 0:56]
    rgb = np.stack([x * 4, y * 6, (x ^ y) * 4], -1).astype(np.uint8)
    picture = Image.fromarray(rgb)
    exif = Image.Exif()
    exif[0x0112] = 6
    # A profile that is none: readers look at its header only, or refuse it.
    icc = bytes(128) + b"\0\0\0\0"

    def save(name, image, **options):
        buffer = io.BytesIO()
        image.save(buffer, **options)
        put(f"picture/{name}", buffer.getvalue())

    save("baseline.jpg", picture, format="JPEG", quality=60, exif=exif, icc_profile=icc)
    save("progressive.jpg", picture, format="JPEG", quality=60, progressive=True)
    save("gray.jpg", picture.convert("L"), format="JPEG", quality=60)
    save("rgb.png", picture, format="PNG", exif=exif, icc_profile=icc)
    save("palette.png", picture.quantize(16), format="PNG")
    save("gray16.png", Image.fromarray((x * 900).astype(np.uint16)), format="PNG")
    save("alpha.png", picture.convert("RGBA"), format="PNG")
    save("lossy.webp", picture, format="WEBP", quality=50, exif=exif)
    save("lossless.webp", picture, format="WEBP", lossless=True)
    put("mask/mask.png", (OUT / "picture/palette.png").read_bytes())


def lists():
    lines = [
        {"image": "a.png", "text": "a woman waves", "mask_face": "mask.png", "weight": 1.5},
        {"file_name": "b.png", "text": "a man, two hands", "mask_face": None},
    ]
    put("metadata/image.jsonl", "".join(json.dumps(line) + "\n" for line in lines[:1]))
    put("metadata/file_name.jsonl", "".join(json.dumps(line) + "\n" for line in lines[1:]))
    put("csv/list.csv", 'file_name,text,mask_face\na.png,"a woman, waving",mask.png\nb.png,a man,\n')
    put("caption/plain.txt", "a woman waves, smiling\n")
    put("caption/utf16.txt", "a woman waves".encode("utf-16"))
    face = {"face_valid": True, "face_box": [8, 4, 20, 20], "face_kpts": [9, 5, 1, 25, 5, 1, 12, 21, 1]}
    annotations = [
        {"id": 1, "image_id": 7, "category_id": 1, "bbox": [0, 0, 30, 32], **face},
        {"id": 2, "image_id": 7, "category_id": 3, "bbox": [4, 4, 8, 8], "segmentation": [[4, 4, 12, 4, 12, 12]]},
        {"id": 3, "image_id": 8, "category_id": 3, "segmentation": {"size": [64, 64], "counts": [100, 50, 3946]}},
        {"id": 4, "image_id": 8, "category_id": 3, "segmentation": {"size": [64, 64], "counts": "PP1d0"}},
    ]
    coco = {
        "images": [
            {"id": 7, "file_name": "a.png", "width": 64, "height": 64, "caption": "two people"},
            {"id": 8, "file_name": "b.png", "width": 64, "height": 64, "caption": "nobody"},
        ],
        "categories": [{"id": 1, "name": "person"}, {"id": 3, "name": "glove"}],
        "annotations": annotations,
    }
    put("coco/instances.json", json.dumps(coco))
    put(
        "kohya/dataset.toml",
        "[general]\nshuffle_caption = true\nkeep_tokens = 1\n\n[[datasets]]\nresolution = [64, 64]\nbatch_size = 2\n"
        "enable_bucket = true\n\n  [[datasets.subsets]]\n  image_dir = \"pictures\"\n  class_tokens = \"a person\"\n  num_repeats = 3\n",
    )


def onnx_network():
    # A detection network of Ultralytics' form in miniature: 32 pixels, 4 cells, 4 + 1 rows.
    rng = np.random.default_rng(0)
    weight = helper.make_tensor("w", TensorProto.FLOAT, [5, 3, 16, 16], rng.normal(size=5 * 3 * 256).astype(np.float32))
    shape = helper.make_tensor("s", TensorProto.INT64, [3], [1, 5, 4])
    nodes = [
        helper.make_node("Conv", ["images", "w"], ["c"], strides=[16, 16], kernel_shape=[16, 16]),
        helper.make_node("Sigmoid", ["c"], ["a"]),
        helper.make_node("Reshape", ["a", "s"], ["output0"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 5, 4])],
        [weight, shape],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"task": "detect", "names": "{0: 'hand'}"})
    put("onnx/tiny.onnx", model.SerializeToString())


def safetensors():
    tensors = {
        "half": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]},
        "number": {"dtype": "F32", "shape": [], "data_offsets": [12, 16]},
        "empty": {"dtype": "BF16", "shape": [0, 4], "data_offsets": [16, 16]},
    }
    header = json.dumps({"__metadata__": {"format": "pt"}, **tensors}).encode()
    header += b" " * (-len(header) % 8)
    put("safetensors/small.safetensors", len(header).to_bytes(8, "little") + header + bytes(range(16)))


pictures()
lists()
onnx_network()
safetensors()

# fairhuman people --count 4 --size 64 --out people && fairhuman init-model --preset tiny --out tiny
# steps = 2, batch = 1, 64 x 64, objectives global and face, lora = { rank = 1, targets = ["conv_in"] },
# checkpoints.every = 1, validation = { share = 0.25, every = 1, draws = 1 }:
# events.jsonl -> seeds/events/, checkpoints/step-00000002.safetensors -> seeds/checkpoint/
