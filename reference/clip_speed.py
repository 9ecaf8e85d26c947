"""CLIP scores by transformers' CLIPModel on the processor, timed, and beside those of `fairhuman evaluate`.

    python clip_speed.py make MODEL TOKENIZER
    python clip_speed.py score MODEL PICTURES --prompt TEXT --threads 2

`make` writes CLIP ViT-L/14 with random weights, and a tokenizer beside it. `score` reads the PNG files of a folder, resizes them as CLIP's processor does, and takes
the cosine with the prompt, one picture at a time and eight at a time, after one to warm up. The last line is JSON: seconds a picture of
either way, reading and resizing included, those of the processor likewise, and the cosines by name.

`cargo run --release -p xtask -- clip` runs it.
"""

import argparse
import json
import pathlib
import shutil
import time

import torch
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

parser = argparse.ArgumentParser()
commands = parser.add_subparsers(dest="command", required=True)
make = commands.add_parser("make")
make.add_argument("model", type=pathlib.Path)
make.add_argument("tokenizer", type=pathlib.Path)
score = commands.add_parser("score")
score.add_argument("model", type=pathlib.Path)
score.add_argument("pictures", type=pathlib.Path)
score.add_argument("--prompt", required=True)
score.add_argument("--threads", type=int, required=True)
arguments = parser.parse_args()

if arguments.command == "make":
    torch.manual_seed(0)
    vision = {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "image_size": 224,
        "patch_size": 14,
    }
    text = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    # The text's vector is that of the largest id, whatever the tokenizer's vocabulary.
    text["eos_token_id"] = 2
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=768)
    CLIPModel(config).save_pretrained(arguments.model)
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(arguments.tokenizer / name, arguments.model / name)
    raise SystemExit

torch.set_num_threads(arguments.threads)
model = CLIPModel.from_pretrained(arguments.model).eval()
tokenizer = CLIPTokenizer.from_pretrained(arguments.model)
processor = CLIPImageProcessor()
names = sorted(path.name for path in arguments.pictures.glob("*.png"))


@torch.inference_mode()
def cosines(some, text):
    pictures = [Image.open(arguments.pictures / name).convert("RGB") for name in some]
    pixels = processor(images=pictures, return_tensors="pt")["pixel_values"]
    vectors = model.get_image_features(pixel_values=pixels)
    return torch.nn.functional.cosine_similarity(vectors, text).tolist()


with torch.inference_mode():
    tokens = tokenizer(
        arguments.prompt, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
    )
    text = model.get_text_features(**tokens)
found, seconds, busy = {}, {}, {}
for size in (1, 8):
    cosines(names[:1], text)
    start, worked = time.perf_counter(), time.process_time()
    for first in range(0, len(names), size):
        some = names[first : first + size]
        found.update(zip(some, cosines(some, text)))
    seconds[size] = (time.perf_counter() - start) / len(names)
    busy[size] = (time.process_time() - worked) / len(names)
result = {"alone": seconds[1], "in_batches": seconds[8], "busy_alone": busy[1], "busy_in_batches": busy[8]}
print(json.dumps(result | {"cosines": found}))
