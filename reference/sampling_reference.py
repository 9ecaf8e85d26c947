"""Pictures by diffusers' StableDiffusionXLPipeline from given noise, timed, and beside those of `fairhuman sample`.

    python sampling_reference.py MODEL JOB.json NOISE.safetensors --ours FOLDER --threads 2

JOB.json has "prompts", "steps", "guidance", "width", "height"; NOISE.safetensors one tensor `noise`
[pictures, channels, rows, columns]. The sampler is UniPC with the model's own scheduler settings. The pictures are made
one at a time, and then all in one batch. FOLDER holds ours, 0000.png and so on. The last line is JSON: seconds for each
picture (after one to warm up), seconds a picture in the batch, and for each picture made alone the mean difference to
ours in units of 1/255.

`cargo run --release -p xtask -- sampling` runs it.
"""

import argparse
import json
import pathlib
import time

import numpy
import torch
from diffusers import StableDiffusionXLPipeline, UniPCMultistepScheduler
from PIL import Image
from safetensors.torch import load_file

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("job", type=pathlib.Path)
parser.add_argument("noise", type=pathlib.Path)
parser.add_argument("--ours", type=pathlib.Path, required=True)
parser.add_argument("--theirs", type=pathlib.Path, help="where to put diffusers' pictures")
parser.add_argument("--threads", type=int, required=True)
arguments = parser.parse_args()

torch.set_num_threads(arguments.threads)
job = json.loads(arguments.job.read_text())
noise = load_file(arguments.noise)["noise"]
pipeline = StableDiffusionXLPipeline.from_pretrained(arguments.model, torch_dtype=torch.float32)
pipeline.scheduler = UniPCMultistepScheduler.from_config(pipeline.scheduler.config)
pipeline.set_progress_bar_config(disable=True)


def make(first, last):
    return pipeline(
        prompt=job["prompts"][first:last],
        num_inference_steps=job["steps"],
        guidance_scale=job["guidance"],
        width=job["width"],
        height=job["height"],
        latents=noise[first:last],
    ).images


def timed(first, last):
    start = time.perf_counter()
    pictures = make(first, last)
    return pictures, time.perf_counter() - start


make(0, 1)
seconds, differences = [], []
count = len(job["prompts"])
for index in range(count):
    [picture], time_of_one = timed(index, index + 1)
    seconds.append(time_of_one)
    ours = Image.open(arguments.ours / f"{index:04}.png").convert("RGB")
    apart = numpy.abs(numpy.asarray(picture, numpy.float64) - numpy.asarray(ours, numpy.float64))
    differences.append(float(apart.mean()))
    if arguments.theirs:
        arguments.theirs.mkdir(parents=True, exist_ok=True)
        picture.save(arguments.theirs / f"{index:04}.png")
_, time_of_all = timed(0, count)
print(json.dumps({"seconds": seconds, "in_a_batch": time_of_all / count, "differences": differences}))
